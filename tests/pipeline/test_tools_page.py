"""The commands of the page "With your tools" work as they are printed, in a real home."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from toolwear.common.fingerprint import ROOT

PAGE = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(trained_home: Path, tmp_path: Path) -> Path:
    """A folder with the home and the environment where the page has them."""
    (tmp_path / "runs").symlink_to(trained_home)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    return tmp_path


def run(folder: Path, command: list[str]) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_feast_lists_what_was_published(folder: Path) -> None:
    (command,) = re.findall(r"^\.venv/bin/feast .* feature-views list$", PAGE, re.MULTILINE)
    told = run(folder, command.split())
    assert "sample_features" in told
    assert re.search(r"machine_levels .*AVAILABLE_ONLINE", told)


def test_a_notebook_asks_the_champion(folder: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    told = run(folder, [sys.executable, "-c", code])
    assert re.search(r"^ +verdict", told, re.MULTILINE)
    assert "FINISHED" in told
