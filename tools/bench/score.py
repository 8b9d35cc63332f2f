"""A recording of several lengths: scored by `toolwear.scoring`, and by a plain script."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.bench.measure import ratio, run
from toolwear.common import jsonfile

WAYS = ("toolwear", "plain")
TARGET = 0.8  # of the plain script's rows a second, or more
_ROUNDS = 5  # of each way in turn, of which the median is told: it takes milliseconds
_MODULE = "tools.bench.one_score"


def measure(
    scales: list[int], data: Path, folder: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Fit a model, lengthen a recording, score it both ways, and return every figure.

    Args:
        scales: how many times as long as it was recorded.
        data: recordings.
        folder: to work in.
        tell: is told what is run.
    """
    scratch = folder / "score"
    scratch.mkdir()
    result = scratch / "result.json"
    for step in ("ingest", "features"):
        tell(f"score: {step}")
        command = [sys.executable, "-m", "tools.bench.one_step", step, scratch, data, result]
        run(command, scratch / f"{step}.log")
    tell("score: a model")
    run([sys.executable, "-m", _MODULE, "model", scratch, data, "1", result], scratch / "model.log")
    found = []
    for copies in sorted(set(scales)):
        rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(_ROUNDS):
            for way in WAYS:
                tell(f"score: {way}, {copies} times as long")
                command = [sys.executable, "-m", _MODULE, way, scratch, data, str(copies), result]
                run(command, scratch / f"{way}.log", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
                rounds[way].append(jsonfile.read(result))
        used = {way: sorted(all_, key=_wall)[_ROUNDS // 2] for way, all_ in rounds.items()}
        found.append({"copies": copies, **used, "ratio": _ratio(used)})
    return {"target": TARGET, "scales": found}


def _wall(used: dict[str, Any]) -> float:
    return float(used["wall"])


def _ratio(used: dict[str, Any]) -> dict[str, float]:
    ours, plain = (used[way] for way in WAYS)
    return {key: ratio(ours[key], plain[key]) for key in ("rows_per_second", "peak_mib")}
