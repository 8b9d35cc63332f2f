"""The search as a process of its own: `python -m components.automl --request request.json`."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import shutil
import signal
import sys
import warnings
from pathlib import Path

import psutil

from toolwear.automl.request import Request
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.private import keep_private

_PR_SET_PDEATHSIG = 1  # prctl(2): a signal when the parent ends, however it ends
_PATIENCE = 5.0  # seconds for processes to be gone after SIGKILL


def main() -> int:
    """Run the request; a user's mistake is written beside it, for the waiting process to tell."""
    parser = argparse.ArgumentParser(prog="components.automl")
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    keep_private()
    request = Request.read(arguments.request)
    _end_with_parent(arguments.parent, request.scratch)
    warnings.filterwarnings("ignore")  # of libraries of 2022 about each other
    from components.automl.step import automl

    try:
        automl(request)
    except ToolwearError as error:
        arguments.request.with_name("reason.txt").write_text(str(error), encoding="utf-8")
        return EXIT_USAGE
    return 0


def _end_with_parent(parent: int, scratch: Path) -> None:
    """Leave neither processes nor files when this process is told to end or its parent is gone.

    This process leads a process group, in which all evaluations run.
    """

    def end(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a handler
        # First the evaluations, or they would write files beside those that are removed.
        evaluations = psutil.Process().children(recursive=True)
        for evaluation in evaluations:
            with contextlib.suppress(psutil.NoSuchProcess):
                evaluation.kill()
        psutil.wait_procs(evaluations, timeout=_PATIENCE)
        shutil.rmtree(scratch, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    # An evaluation that has run out of time is ended by the same signal; in native code it would
    # never reach a handler of Python's.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        end(signal.SIGTERM, None)


if __name__ == "__main__":
    sys.exit(main())
