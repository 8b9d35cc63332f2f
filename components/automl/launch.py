"""Starts the search in the interpreter that has auto-sklearn, and tells its progress.

auto-sklearn 0.15 needs Python 3.9. Its image is that interpreter; elsewhere AUTOML_PYTHON names
one. Standard library only, so that it runs on either side.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from toolwear.automl import progress
from toolwear.automl.request import Request
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.steps import report
from toolwear.workspace.home import HOME_VARIABLE

PYTHON = "AUTOML_PYTHON"
_ROOT = Path(__file__).resolve().parents[2]
_PREFIX = "toolwear-automl-"  # short: the address of a socket below it has some 100 bytes
_TELL_EVERY = 15.0  # seconds


def automl(features: Path, split: Path, output: Path, **settings: Any) -> None:
    """Run the step; `settings` are the other fields of `Request`.

    Raises:
        ToolwearError: a setting or the data is wrong, or there is no auto-sklearn.
        RuntimeError: the search failed; its traceback is on stderr.
    """
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX))
        folder = temporary
        if settings["dask"] and os.environ.get(HOME_VARIABLE):
            # Workers elsewhere read and write the same files, so they are on the shared disk.
            shared = os.environ[HOME_VARIABLE]
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX, dir=shared))
        request = Request(
            features=features.absolute(),
            split=split.absolute(),
            output=output.absolute(),
            scratch=Path(folder),
            **settings,
        )
        python = _interpreter()
        file = request.scratch / "request.json"
        request.write(file)
        command = [python, "-m", "components.automl"]
        command += ["--request", str(file), "--parent", str(os.getpid())]
        code = _run(command, request.scratch, temporary)
        if code == EXIT_USAGE:
            raise ToolwearError(file.with_name("reason.txt").read_text(encoding="utf-8"))
        if code != 0:
            raise RuntimeError(f"The search ended with exit code {code}; see the log above.")


def _interpreter() -> str:
    python = os.environ.get(PYTHON) or sys.executable
    probe = "import importlib.util as u, sys; sys.exit(u.find_spec('autosklearn') is None)"
    try:
        found = subprocess.run([python, "-c", probe], check=False, cwd=_ROOT, env=_environment())
    except OSError as error:
        raise ToolwearError(f"{PYTHON} is '{python}', which cannot be run: {error}.") from None
    if found.returncode != 0:
        raise ToolwearError(
            f"auto-sklearn is not installed for {python}; "
            f"set {PYTHON} to a Python 3.9 that has requirements/automl.txt."
        )
    return python


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "PYTHONWARNINGS": "ignore",  # inherited by every evaluation
        # One thread each: evaluations share the cores as processes, and sums stay repeatable.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def _run(command: list[str], scratch: Path, temporary: str) -> int:
    # A session of its own, so that evaluations which outlive the search can be ended with it.
    process = subprocess.Popen(
        command,
        cwd=_ROOT,
        env={**_environment(), "TMPDIR": temporary},
        start_new_session=True,
    )
    try:
        while not _ended(process):
            for line in progress.lines(scratch):
                report(line)
    finally:
        _end_group(process.pid)
    return process.wait()


def _ended(process: subprocess.Popen) -> bool:
    try:
        process.wait(timeout=_TELL_EVERY)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
