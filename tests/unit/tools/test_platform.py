"""Where the environments can't be built, `make` says so in a sentence before it builds anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from toolwear.common.fingerprint import ROOT

_UNAME = "#!/bin/sh\ncase $1 in -s) echo {system} ;; -m) echo {machine} ;; esac\n"
_ELSEWHERE = "toolwear runs on Linux on x86_64 or aarch64 (Windows: in WSL2), and this is"
_DF = "#!/bin/sh\necho Filesystem\necho tmpfs 100 1 {free} 1% /\n"


def _outside() -> dict[str, str]:
    """Return the environment without what a `make` around the tests has left there."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}


def make(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Call `make run` in a fresh check-out, with programs of our own before those of the system."""
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    shutil.copyfile(ROOT / "Makefile", folder / "Makefile")
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    own = folder / "bin"
    own.mkdir()
    for name, text in programs.items():
        (own / name).write_text(text)
        (own / name).chmod(0o755)
    return subprocess.run(
        ["make", "run"],
        cwd=folder,
        env={**_outside(), "PATH": f"{own}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.process
@pytest.mark.parametrize(
    ("programs", "said"),
    [
        (
            {"uname": _UNAME.format(system="Darwin", machine="arm64")},
            f"{_ELSEWHERE} Darwin on arm64, for which auto-sklearn and others have no packages; ",
        ),
        (
            {"uname": _UNAME.format(system="Linux", machine="riscv64")},
            f"{_ELSEWHERE} Linux on riscv64, ",
        ),
        (
            {"df": _DF.format(free=1_200_000)},
            "The environments need 3 GB of disk, and {folder} has 1200 MB left; free some space",
        ),
        (
            {"python3": "#!/bin/sh\nexit 1\n"},
            "toolwear needs python3 with its module venv; install it (Debian, Ubuntu: ",
        ),
    ],
    ids=["mac", "riscv", "little room", "no venv"],
)
def test_a_machine_that_is_not_fit_is_told_so(
    programs: dict[str, str], said: str, tmp_path: Path
) -> None:
    done = make(tmp_path, **programs)
    assert done.returncode == 2
    sentence, end = done.stderr.splitlines()
    assert sentence.startswith(said.format(folder=tmp_path))
    assert sentence.startswith(_ELSEWHERE) is ("`make run IN=container`" in sentence)
    assert end.startswith("make: ***")
    assert done.stdout == ""
    assert not (tmp_path / ".tools").exists()
