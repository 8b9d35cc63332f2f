"""A build tells what it is at, and its failure what the engine said last."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.images import build
from toolwear.common.errors import ToolwearError

_ENGINE = """#!/bin/sh
echo "Step 1/2 : FROM base"
echo " ---> 1234"
echo "#7 [build 2/8] COPY wheels"
for line in $(seq 30); do echo "noise $line"; done
echo "no space left on device" >&2
exit $CODE
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    docker = tmp_path / "docker"
    docker.write_text(_ENGINE)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return docker


def test_each_instruction_is_told_and_the_rest_is_not(
    engine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODE", "0")
    build._told(["docker", "build"], "it was not built")
    said = capsys.readouterr().out
    assert "Step 1/2 : FROM base" in said
    assert "[build 2/8] COPY wheels" in said
    assert "noise" not in said
    assert "1234" not in said


def test_a_failure_ends_with_what_the_engine_said_last(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODE", "1")
    with pytest.raises(ToolwearError, match="it was not built: noise 17\n") as raised:
        build._told(["docker", "build"], "it was not built")
    assert str(raised.value).endswith("no space left on device")


def test_without_docker_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolwearError, match=r"install docker\.io"):
        build._told(["docker", "build"], "it was not built")
