"""What a process used, and how two figures compare. Runs on Python 3.9 too."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT

AUTOML_PYTHON = "AUTOML_PYTHON"
_TAIL_LINES = 15


@dataclass(frozen=True)
class Used:
    """What a process and the processes that it has waited for used.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds of all its processes, user and system.
        peak_mib: largest resident memory that any one of them ever had, MiB.
    """

    wall: float
    cpu: float
    peak_mib: float


def run(command: Sequence[str | Path], log: Path, **variables: str) -> Used:
    """Run a command from the project's root and return what it used, by wait4(2).

    The peak counts from this process's own memory up, which Linux hands on at a start: so nothing
    heavy is imported where this is called.

    Args:
        command: program and arguments.
        log: file for what it prints.
        variables: of the environment, beside those that every step gets.

    Raises:
        ToolwearError: it failed; with the end of what it printed.
    """
    started = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env=environment() | variables,
            stdout=stream,
            stderr=subprocess.STDOUT,
            # A group of its own, so that what it has started can be ended with it.
            start_new_session=True,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        raise ToolwearError(f"{log.stem} ended with {process.returncode}; it said last:\n{tail}")
    return Used(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def environment() -> dict[str, str]:
    """Return the environment of every measured process, the same for all that are compared."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        AUTOML_PYTHON: automl_python(),
    }
    # Without bytecode each start would parse all that it imports.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


def automl_python() -> str:
    """Return the interpreter that has auto-sklearn."""
    return os.environ.get(AUTOML_PYTHON) or str(ROOT / ".venv-automl" / "bin" / "python")


def own_peak_mib() -> float:
    """Return the largest resident memory that this program had since it was started, MiB.

    Not getrusage(2): a started process inherits its parent's peak there.
    """
    return _own_status("VmHWM")


def own_resident_mib() -> float:
    """Return the memory that this program holds now, MiB."""
    return _own_status("VmRSS")


def _own_status(key: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"{key}:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError(f"The kernel does not tell {key}.")
    return int(found.group(1)) / 1024


def ratio(value: float, base: float) -> float:
    """Return how many times `base` the value is; NaN if the base is not positive."""
    return value / base if base > 0 else float("nan")


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the median of the ratios of pairs (value, base) that were measured side by side."""
    return statistics.median(ratio(value, base) for value, base in pairs)


def medians(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each key over samples that all have it."""
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
