"""A prediction by auto-sklearn against one by the ONNX graph that it was exported to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.bench.measure import automl_python, ratio, run
from toolwear.common import jsonfile

_MAIN = "from tools.bench.predict_native import main; main()"
_SEED = 0
COMPARED = ("wall", "cpu", "resident_mib", "peak_mib")


def measure(
    data: Path, folder: Path, evaluations: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Fit on the recordings, export, time both, and return every figure.

    Args:
        data: recordings.
        folder: to work in.
        evaluations: budget of the search.
        tell: is told what is run.
    """
    scratch = folder / "predict"
    scratch.mkdir()
    result = scratch / "result.json"
    for step in ("ingest", "features"):
        tell(f"predict: {step}")
        command = [sys.executable, "-m", "tools.bench.one_step", step, scratch, data, result]
        run(command, scratch / f"{step}.log")
    tell(f"predict: a search of {evaluations} evaluations, then both in turn")
    used = run(
        [automl_python(), "-c", _MAIN, scratch / "features", str(evaluations), str(_SEED), result],
        scratch / "predict.log",
        TMPDIR=str(scratch),
        PYTHONWARNINGS="ignore",
        # One thread each, as in serving.
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
    )
    found = jsonfile.read(result)
    return {**found, "ratios": ratios(found["sizes"]), "process": asdict(used)}


def ratios(sizes: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return, by rows of a call, how many times the graph's figures auto-sklearn's are."""
    return {
        size: {key: ratio(figures["auto_sklearn"][key], figures["onnx"][key]) for key in COMPARED}
        for size, figures in sizes.items()
    }
