"""`make run IN=container`: what the engine is told, on a machine with nothing but an engine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from toolwear.common.fingerprint import IMAGE_PACKAGES, ROOT

pytestmark = pytest.mark.process
# Keeps what it is told, and knows the image that it was told to build.
_ENGINE = """#!/bin/sh
case $1 in
  build)
    printf '%s\\n' "$@" | sed -n 's/^CODE=//p' > "$TOLD/code"
    for context; do :; done
    find "$context" -type f | sed "s|^$context/||" > "$TOLD/context" ;;
  image) [ "$2" != inspect ] || cat "$TOLD/code" ;;
  run) printf '%s\\n' "$@" > "$TOLD/run"; exit 7 ;;
esac
"""


def made(tmp_path: Path, engine: str, *asked: str) -> subprocess.CompletedProcess[str]:
    """Call `make run IN=container` with an engine of our own under both names."""
    own = tmp_path / "bin"
    own.mkdir(exist_ok=True)
    for name in ("docker", "podman"):
        (own / name).write_text(engine)
        (own / name).chmod(0o755)
    environment = {
        "PATH": f"{own}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TOLD": str(tmp_path),
        "TOOLWEAR_HOME": str(tmp_path / "a home"),
    }
    return subprocess.run(
        ["make", "--no-print-directory", "run", "IN=container", *asked],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_image_is_built_once_and_sees_what_is_named_alone(tmp_path: Path) -> None:
    data = tmp_path / "recordings, old"
    data.mkdir()
    asked = (f"DATA={data}", "FAST=1", "ARGS=--set seed=7")
    for built in (True, False):
        done = made(tmp_path, _ENGINE, *asked)
        assert ("building toolwear/run:dev" in done.stderr) is built
        assert "Error 7" in done.stderr
    context = (tmp_path / "context").read_text().splitlines()
    assert {path.split("/")[1] for path in context if path.startswith("code/")} == {
        *IMAGE_PACKAGES,
        "requirements",
    }
    assert "requirements/main.txt" in context
    assert not [path for path in context if path.endswith(".pyc")]

    told = (tmp_path / "run").read_text().splitlines()
    image = told.index("toolwear/run:dev")
    assert told[image + 1 :] == ["run", "--fast", "--data", str(data), "--set", "seed=7"]
    home, state = tmp_path / "a home", tmp_path / ".local/state/toolwear"
    mounts = [told[n + 1] for n, word in enumerate(told) if word == "--mount"]
    assert sorted(mounts) == sorted(
        [
            f'type=bind,"source={data}","target={data}",readonly',
            f"type=bind,source={home},target={home}",
            f"type=bind,source={state},target=/state/toolwear",
        ]
    )
    options = " ".join(told[:image])
    for option in (
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        "--network none",
        f"--user {os.getuid()}:{os.getgid()}",
        f"--env TOOLWEAR_HOME={home}",
    ):
        assert option in options
    assert home.is_dir()


def test_without_an_engine_it_says_what_to_install(tmp_path: Path) -> None:
    done = made(tmp_path, "#!/bin/sh\nexit 1\n")
    assert done.stderr.splitlines()[0] == (
        "IN=container needs Docker or Podman, and neither answers; install one and start it."
    )
    assert done.stdout == ""
    assert not (tmp_path / "a home").exists()
