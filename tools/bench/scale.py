"""The steps that read all recordings, at several times the data of the simulator."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from tools.bench.measure import ratio, run
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError

STEPS = ("ingest", "validate", "features")
ROWS_PER_COPY = 25_286  # as many as were recorded
LARGEST = 1000
_BYTES_PER_ROW = 1000  # recordings, telemetry and features beside each other, with room to spare
_SHARE_OF_DISK = 0.8


def fitting(copies: int, free_bytes: int) -> int:
    """Return how many copies, at most `copies`, the free disk holds."""
    return min(copies, int(free_bytes * _SHARE_OF_DISK) // (ROWS_PER_COPY * _BYTES_PER_ROW))


def plan(scales: list[int], free_bytes: int) -> list[tuple[int, int]]:
    """Return (asked, run) of the scales in rising order, without one that would run twice.

    Raises:
        ToolwearError: not even one copy fits on the disk.
    """
    chosen: dict[int, int] = {}
    for asked in sorted(set(scales)):
        chosen.setdefault(fitting(asked, free_bytes), asked)
    if 0 in chosen:
        raise ToolwearError("The disk is too full to simulate recordings; give another --scratch.")
    return [(asked, copies) for copies, asked in chosen.items()]


def measure(scales: list[int], folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Simulate each scale, run the steps on it, delete it, and return every figure.

    Args:
        scales: how many times the recorded data.
        folder: to work in; its disk limits the scales.
        tell: is told what is run.

    Raises:
        ToolwearError: the disk is full, or a step failed.
    """
    free = shutil.disk_usage(folder).free
    found = []
    for asked, copies in plan(scales, free):
        found.append({"asked": asked, "copies": copies, **_one(copies, folder, tell)})
    return {"free_bytes": free, "scales": found, "linearity": linearity(found)}


def _one(copies: int, folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    scratch = folder / f"scale-{copies}"
    scratch.mkdir()
    raw, result = scratch / "raw", scratch / "result.json"
    tell(f"scale {copies}: simulating")
    simulate = (sys.executable, "-m", "toolwear.cli", "simulate", raw, f"--set=copies={copies}")
    run(simulate, scratch / "simulate.log")
    steps = {}
    for step in STEPS:
        tell(f"scale {copies}: {step}")
        command = (sys.executable, "-m", "tools.bench.one_step", step, scratch, raw, result)
        process = run(command, scratch / f"{step}.log")
        used = jsonfile.read(result)
        used["rows_per_second"] = ratio(used["rows"], used["wall"])
        used["process_wall"] = process.wall
        steps[step] = used
    size = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    shutil.rmtree(scratch)
    rows = steps[STEPS[0]]["rows"]
    return {"rows": rows, "bytes_per_row": size / rows, "steps": steps}


def linearity(scales: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for neighbouring scales, each step's rows a second as a ratio to the smaller's.

    1 is linear: ten times the data in ten times the time. Peaks of memory are ratios, too.
    """
    return [
        {
            "from": small["copies"],
            "to": large["copies"],
            **{
                step: {
                    key: ratio(large["steps"][step][key], small["steps"][step][key])
                    for key in ("rows_per_second", "peak_mib")
                }
                for step in STEPS
            },
        }
        for small, large in pairwise(scales)
    ]


def seconds_for(copies: int, scales: list[dict[str, Any]]) -> float:
    """Return the seconds that the steps would take at the speed of the largest scale."""
    largest = scales[-1]["steps"]
    return sum(copies * ROWS_PER_COPY / largest[step]["rows_per_second"] for step in STEPS)
