"""The README promises nothing that is not there: its commands exist, and the quick ones run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from toolwear.common.fingerprint import ROOT

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def toolwear(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "toolwear.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_make_target_named_exists() -> None:
    named = set(re.findall(r"make ([a-z][a-z-]*)", README)) - {"are"}
    targets = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, flags=re.MULTILINE))
    assert {"run", "test", "check"} <= named
    assert named <= targets | {"is"}


def test_every_command_named_exists_with_its_options(tmp_path: Path) -> None:
    commands = re.findall(r"`toolwear ([a-z]+)([^`]*)`", README)
    assert len(commands) >= 6
    for name, rest in commands:
        shown = toolwear(name, "--help", cwd=tmp_path)
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in shown, f"toolwear {name} {option}"


def test_every_file_linked_exists() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_graph_compiles_for_kubeflow(tmp_path: Path) -> None:
    toolwear("compile", "build/training.yaml", cwd=tmp_path)
    assert "toolwear-training" in (tmp_path / "build" / "training.yaml").read_text()


def test_the_schema_names_every_setting(tmp_path: Path) -> None:
    shown = toolwear("config", "--schema", cwd=tmp_path)
    for key in ("search_seconds", "seed", "restore_order", "outer_folds"):
        assert f'"{key}"' in shown


def test_recordings_are_simulated_and_looked_at(tmp_path: Path) -> None:
    toolwear("simulate", "recordings", "--set", "seed=7", cwd=tmp_path)
    shown = toolwear("data", "--data", "recordings", cwd=tmp_path)
    assert "18 runs" in shown
    assert "SIMULATED" in shown


@pytest.mark.parametrize(
    "folder", ["toolwear", "components", "pipelines", "serving", "feature_repo", "tests", "tools"]
)
def test_the_top_level_is_as_described(folder: str) -> None:
    assert (ROOT / folder / "__init__.py").exists()
