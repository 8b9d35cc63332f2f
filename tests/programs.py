"""Programs that come with the operating system rather than with Python."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

_PACKAGES = {
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "chromium": "chromium",
    "dockerd": "docker.io",
    "etcd": "etcd-server",
    "initdb": "postgresql",
    "mariadb-install-db": "mariadb-server",
    "mariadbd": "mariadb-server",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
    "redis-server": "redis-server",
}
_OTHERWISE = {
    "actionlint": "go install it as .ci/run does",
    "kustomize": "install kubectl 1.32 or newer, or kustomize as .ci/run does",
}
_VERSIONED = {"initdb": "/usr/lib/postgresql"}  # where Debian keeps the versions of it apart
REQUIRE = "TOOLWEAR_REQUIRE_PROGRAMS"  # "1" in CI, where a skipped test would hide a fault


def program(name: str) -> str:
    """Return the path of a program; without it the test is skipped, or fails where it must run."""
    versions = sorted(Path(_VERSIONED.get(name, os.devnull)).glob("*/bin"), key=_number)
    found = shutil.which(name, path=os.pathsep.join([*map(str, versions[-1:]), os.environ["PATH"]]))
    if found is None:
        how = _OTHERWISE.get(name) or f"apt-get install {_PACKAGES.get(name, name)}"
        sentence = f"{name} is not installed: {how}"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found


def _number(folder: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(folder))]


def renders() -> None:
    """Skip or fail as `program` does, unless there is something that renders manifests."""
    if shutil.which("kubectl") is None:
        program("kustomize")
