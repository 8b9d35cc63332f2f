"""What a bare install has is enough for the client, and loads nothing of what the extra brings."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from toolwear.common.fingerprint import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Modules of packages that a bare install lacks are not there.
BARE = """
import runpy
import sys


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


missing = set(sys.argv.pop(1).split(","))
sys.meta_path.insert(0, Missing())
"""
CLIENT = """
import asyncio
from toolwear.client import AsyncClient, Client

with Client("http://127.0.0.1:1") as client:
    print(client.ready())


async def ask():
    async with AsyncClient("http://127.0.0.1:1") as client:
        print(await client.ready())


asyncio.run(ask())
try:
    Client(grpc="127.0.0.1:1")
except ImportError as error:
    print(error)
"""
COMMAND = """
sys.argv = ["toolwear", "status"]
runpy.run_module("toolwear.cli", run_name="__main__")
"""


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of packages that these requirements bring, extras left out."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            found.add(name)
            waiting += [Requirement(text) for text in metadata.requires(name) or []]
    return found


def bare(code: str) -> subprocess.CompletedProcess[str]:
    there = closure(PROJECT["dependencies"])
    missing = {
        module
        for module, packages in metadata.packages_distributions().items()
        if not there & set(map(canonicalize_name, packages))
    } - {"toolwear"}
    assert {"numpy", "pandas", "typer", "starlette", "pydantic"} <= missing
    return subprocess.run(
        [sys.executable, "-c", BARE + code, ",".join(missing)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.process
def test_the_client_works() -> None:
    done = bare(CLIENT)
    needs = "gRPC needs grpc, which is not here; install toolwear[full]."
    assert (done.stdout, done.stderr) == (f"False\nFalse\n{needs}\n", "")


@pytest.mark.process
def test_the_command_says_what_to_install() -> None:
    done = bare(COMMAND)
    assert done.returncode == 2
    assert re.fullmatch(
        r"toolwear: The command needs \w+, .* install toolwear\[full\]\.\n", done.stderr
    )
