"""Builds an image: lays out the context, calls the engine, and says what came of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.images.environments import (
    FOLDER,
    REQUIREMENTS,
    Environment,
    executor_lock,
)
from tools.images.wheels import wheelhouse
from toolwear.cli.provenance import commit
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import IMAGE_PACKAGES, ROOT, code_fingerprint

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")
_LAST_LINES = 15
_WIDE = 100  # characters of an instruction that are shown
# What Docker's old builder and BuildKit say when they begin an instruction.
_BEGINS = re.compile(r"Step \d+/\d+ : |#\d+ \[.*?\d+/\d+\] ")
_NO_DOCKER = "Docker is not installed; install docker.io and start it."


@dataclass(frozen=True)
class Built:
    """An image that the engine has.

    Attributes:
        image: its reference.
        digest: its id, the SHA-256 of its configuration.
        size: bytes, unpacked.
        seconds: that the build took.
    """

    image: str
    digest: str
    size: int
    seconds: float


def build(environment: Environment, repository: str = "") -> Built:
    """Build the image and tag it.

    Args:
        environment: what to build.
        repository: of the base image, for sites without a registry; empty: the pinned one.

    Raises:
        ToolwearError: no engine answers, or the build failed.
    """
    started = time.monotonic()
    base = environment.base(repository)
    with tempfile.TemporaryDirectory(prefix="toolwear-image-") as folder:
        context = Path(folder)
        _lay_out(environment, context)
        arguments = {"BASE": base, "CODE": code_fingerprint(), **_provenance()}
        command = ["docker", "build", "--file", str(context / "Dockerfile")]
        command += ["--tag", environment.image]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        print(f"{environment.name}: building {environment.image} on {base}", flush=True)
        _told([*command, str(context)], f"{environment.image} was not built")
    facts = inspect(environment.image)
    return Built(environment.image, facts["Id"], facts["Size"], time.monotonic() - started)


def inspect(image: str) -> dict[str, Any]:
    """Return what the engine knows of an image.

    Raises:
        ToolwearError: it does not have it, or does not answer.
    """
    text = _called(["docker", "image", "inspect", image], f"{image} is not there")
    found: list[dict[str, Any]] = json.loads(text)
    return found[0]


def _lay_out(environment: Environment, context: Path) -> None:
    """Put what the Dockerfile copies into `context`, and nothing else."""
    lock = context / "lock"
    lock.mkdir()
    shutil.copyfile(REQUIREMENTS / environment.lock, lock / f"{environment.name}.txt")
    shutil.copyfile(REQUIREMENTS / "tools.txt", lock / "tools.txt")
    if environment.executor:
        (lock / f"{environment.name}-executor.txt").write_text(executor_lock(), encoding="utf-8")
    wheels = wheelhouse(environment.name, environment.python, sorted(lock.iterdir()))
    # Linked where the disk allows it: there are some hundred megabytes.
    shutil.copytree(wheels, context / "wheels", copy_function=_link_or_copy)
    for name in ("install.sh", "sbom.py"):
        shutil.copyfile(FOLDER / name, context / name)
    shutil.copyfile(environment.dockerfile, context / "Dockerfile")
    app = context / "app"
    for package in IMAGE_PACKAGES:
        shutil.copytree(ROOT / package, app / package, ignore=_IGNORED)
    # Whoever compiles the graph inside the image needs the locks, which every task is keyed by.
    (app / "requirements").mkdir()
    for path in REQUIREMENTS.glob("*.txt"):
        shutil.copyfile(path, app / "requirements" / path.name)


def _link_or_copy(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _provenance() -> dict[str, str]:
    """Return commit, its time and the version; the same commit gives the same labels."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, check=False, capture_output=True, text=True
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    created = git("show", "--no-patch", "--format=%cI", "HEAD")
    return {
        "COMMIT": commit(),
        "CREATED": created or datetime.now(UTC).isoformat(timespec="seconds"),
        "VERSION": git("describe", "--tags", "--always") or "unknown",
    }


def _told(command: list[str], failure: str) -> None:
    """Call the engine, and tell each instruction that it begins: the great ones take minutes."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except FileNotFoundError:
        raise ToolwearError(_NO_DOCKER) from None
    with process:
        for line in process.stdout or ():
            last.append(line.rstrip())
            if _BEGINS.match(line):
                print(f"  {time.strftime('%H:%M:%S')} {last[-1][:_WIDE]}", flush=True)
    if process.returncode != 0:
        raise ToolwearError(f"{failure}: " + "\n".join(last))


def _called(command: list[str], failure: str) -> str:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise ToolwearError(_NO_DOCKER) from None
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:]
        raise ToolwearError(f"{failure}: " + "\n".join(said))
    return done.stdout
