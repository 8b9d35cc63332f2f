"""Fits a small ensemble, exports it and times both. Runs in auto-sklearn's interpreter.

Started by `-c`, not `-m`, so that the processes it spawns do not import auto-sklearn through it.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from components.automl.step import export_limit
from tools.bench import answer
from tools.bench.answer import Answer, Server
from toolwear.automl.export.gate import export_ensemble
from toolwear.automl.progress import Progress
from toolwear.automl.search import Budget, search
from toolwear.common import jsonfile
from toolwear.dataset import schema
from toolwear.features.dataset import load

_MEMORY_MB = 6000
_NO_SECONDS = 0  # the budget is in evaluations
# Rows of a call: rounds in which both models are asked in turn, and calls in each.
SIZES = {1: (15, 20), 10_000: (9, 1)}


def measure(features: Path, evaluations: int, seed: int) -> dict[str, Any]:
    """Return time and memory of both models, and how well they agree.

    Args:
        features: artifact of the features step.
        evaluations: budget of the search.
        seed: of the search.
    """
    samples = load(features, schema.PUBLISHED)
    with tempfile.TemporaryDirectory() as folder:
        found = search(
            samples.X,
            samples.y,
            None,
            Budget(_NO_SECONDS, evaluations, _MEMORY_MB),
            seed,
            Path(folder) / "search",
            Progress(Path(folder), "search"),
        )
    export = export_ensemble(found.members, samples.X, export_limit())
    with Server(answer.native, export.kept) as native, Server(answer.graph, export.model) as graph:
        sizes = {
            str(size): _compared(native, graph, _rows(samples.X, size), *repeats)
            for size, repeats in SIZES.items()
        }
    return {
        "members": [member.classifier for member in export.kept],
        "trained_rows": len(samples.y),
        "evaluations": evaluations,
        "seed": seed,
        "onnx_bytes": len(export.model),
        "sizes": sizes,
    }


def _rows(X: np.ndarray, size: int) -> np.ndarray:
    rows: np.ndarray = X[np.arange(size) % len(X)]
    return rows


def _compared(
    native: Server, graph: Server, rows: np.ndarray, rounds: int, calls: int
) -> dict[str, Any]:
    """Ask both in turn; a first round that warms them up is not counted."""
    asked: dict[str, list[Answer]] = {"auto_sklearn": [], "onnx": []}
    for _ in range(rounds + 1):
        asked["auto_sklearn"].append(native.ask(rows, calls))
        asked["onnx"].append(graph.ask(rows, calls))
    difference = asked["auto_sklearn"][-1].probabilities - asked["onnx"][-1].probabilities
    return {
        "calls": rounds * calls,
        "max_abs_diff": float(np.abs(difference).max()),
        **{name: summary(answers[1:]) for name, answers in asked.items()},
    }


def summary(answers: list[Answer]) -> dict[str, float]:
    """Return the medians over all calls, seconds, and the memory of the process, MiB."""
    return {
        "wall": float(np.median([value for each in answers for value in each.wall])),
        "cpu": float(np.median([value for each in answers for value in each.cpu])),
        "resident_mib": float(np.median([each.resident_mib for each in answers])),
        "peak_mib": max(each.peak_mib for each in answers),
    }


def main() -> None:
    """Read features, evaluations and seed from the command line; write the figures as JSON."""
    warnings.filterwarnings("ignore")  # of libraries of 2022 about each other
    features, evaluations, seed, result = sys.argv[1:5]
    jsonfile.write(Path(result), measure(Path(features), int(evaluations), int(seed)))
