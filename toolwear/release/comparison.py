"""The paired comparison of challenger and champion on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolwear.evaluation.metrics import LEVEL

_RESAMPLES = 2000


@dataclass(frozen=True)
class Comparison:
    """Accuracy of both models on the same rows.

    Attributes:
        challenger: its accuracy.
        champion: its accuracy.
        difference: challenger minus champion.
        interval: of the difference, by bootstrap over runs.
        rows: how many rows both answered.
        runs: how many runs the rows come from.
        left_out: test rows that the champion was trained on, and which are not counted.
        fair: the champion was trained on none of the rows that are counted.
        per_run: accuracy of challenger and champion and rows, by run.
    """

    challenger: float
    champion: float
    difference: float
    interval: tuple[float, float]
    rows: int
    runs: int
    left_out: int
    fair: bool
    per_run: dict[str, tuple[float, float, int]]


def compare(
    challenger: np.ndarray,
    champion: np.ndarray,
    runs: np.ndarray,
    seed: int,
    left_out: int = 0,
    fair: bool = True,
) -> Comparison:
    """Return the paired comparison of accuracies.

    The interval is a percentile bootstrap that resamples whole runs (Efron & Tibshirani 1993,
    chapter 13; clusters as in Field & Welsh 2007): rows of a run are not independent.

    Args:
        challenger: which rows it got right, bool (rows,).
        champion: the same of the champion, on the same rows.
        runs: the run of each row (rows,).
        seed: of the resampling.
        left_out: test rows that were not compared.
        fair: the champion was trained on none of these rows.
    """
    names, index = np.unique(runs, return_inverse=True)
    gained = challenger.astype(np.int64) - champion.astype(np.int64)
    sizes = np.bincount(index)
    sums = np.bincount(index, weights=gained)
    draws = np.random.default_rng(seed).integers(len(names), size=(_RESAMPLES, len(names)))
    differences = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Comparison(
        challenger=float(challenger.mean()),
        champion=float(champion.mean()),
        difference=float(gained.mean()),
        interval=(float(low), float(high)),
        rows=len(runs),
        runs=len(names),
        left_out=left_out,
        fair=fair,
        per_run={
            str(name): (
                float(challenger[index == i].mean()),
                float(champion[index == i].mean()),
                int(sizes[i]),
            )
            for i, name in enumerate(names)
        },
    )
