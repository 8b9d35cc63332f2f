"""Runs the graph here, once under each of kfp.local's runners, each in a home of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.parity.contents import Run
from toolwear.cli.containers import Runner
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.workspace.home import Home


def run_here(runner: Runner, parameters: Mapping[str, Any], folder: Path) -> Run:
    """Run the graph in a new home below `folder`, and return what it left.

    Args:
        runner: what a step runs as.
        parameters: of the run.
        folder: the home becomes its subfolder of the runner's name; what is there is removed.

    Raises:
        ToolwearError: the run failed; what it said is on the terminal.
    """
    home = folder / runner.value
    # Nothing of before may stand in for a step, and there is no champion to be compared with.
    shutil.rmtree(home, ignore_errors=True)
    command = [sys.executable, "-m", "toolwear.cli", "run"]
    command += ["--home", str(home), "--runner", runner.value]
    for name, value in parameters.items():
        command += ["--set", f"{name}={value}"]
    done = subprocess.run(
        command, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    if done.returncode != 0:
        raise ToolwearError(f"The run under the {runner.value} runner failed; see {home}.")
    return left_by(runner, folder)


def left_by(runner: Runner, folder: Path) -> Run:
    """Return what the last run of a runner left below `folder`.

    Raises:
        ToolwearError: there is none that has ended well.
    """
    home = Home.at(folder / runner.value)
    latest = home.root / "latest"
    if not latest.exists():
        raise ToolwearError(f"There is no finished run below {home.root}; run make parity.")
    run = latest.resolve()
    (artifacts,) = (run / "artifacts").iterdir()
    return Run(runner.value, artifacts, (f"{artifacts}/", f"{run}/", f"{home.root}/"))
