"""Programs that come with the operating system rather than with Python."""

from __future__ import annotations

import os
import shutil

import pytest

_PACKAGES = {
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "chromium": "chromium",
    "dockerd": "docker.io",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
    "redis-server": "redis-server",
}
_OTHERWISE = {
    "actionlint": "go install it as .ci/run does",
    "kustomize": "install kubectl 1.32 or newer, or kustomize as .ci/run does",
}
REQUIRE = "TOOLWEAR_REQUIRE_PROGRAMS"  # "1" in CI, where a skipped test would hide a fault


def program(name: str) -> str:
    """Return the path of a program; without it the test is skipped, or fails where it must run."""
    found = shutil.which(name)
    if found is None:
        how = _OTHERWISE.get(name) or f"apt-get install {_PACKAGES.get(name, name)}"
        sentence = f"{name} is not installed: {how}"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found


def renders() -> None:
    """Skip or fail as `program` does, unless there is something that renders manifests."""
    if shutil.which("kubectl") is None:
        program("kustomize")
