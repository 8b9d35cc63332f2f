"""Figures of a binary classifier and their intervals. Class 1, "worn", is the positive one.

A figure that cannot be had (an area under the curve with one class, a mean over nothing) is NaN,
which JSON files hold as null.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import xlogy
from scipy.stats import norm

from toolwear.dataset import schema

LEVEL = 0.95
REPLICATES = 1000
FIGURES = ("accuracy", "precision", "recall", "f1", "mcc", "auc", "log_loss", "brier")
_CHUNK = 4_000_000  # weights held at a time

Interval = tuple[float, float]


def wilson(successes: int, n: int, level: float = LEVEL) -> Interval:
    """Return the score interval of a proportion; (NaN, NaN) for n = 0.

    Wilson (1927), JASA 22, 209-212. Sound for small n and for proportions near 0 and 1.
    """
    if n == 0:
        return (np.nan, np.nan)
    z = float(norm.ppf(0.5 + level / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding may leave the ends a hair inside the proportion when it is 0 or 1.
    return (float(max(0.0, min(centre - half, share))), float(min(1.0, max(centre + half, share))))


def binary_metrics(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """Return `FIGURES` at the threshold p > 0.5.

    Args:
        y: labels 0 or 1, shape (n,).
        p: probability of class 1, shape (n,).

    Raises:
        ValueError: a probability is NaN or outside of 0 to 1, or a label is neither 0 nor 1.
    """
    _check(y, p)
    values = _weighted(np.ones((1, len(y))), _Sorted.of(y, p))[0]
    return dict(zip(FIGURES, values.tolist(), strict=True))


def auc(y: np.ndarray, p: np.ndarray) -> float:
    """Return the area under the ROC curve, ties counted one half; NaN with one class."""
    return binary_metrics(y, p)["auc"]


def bootstrap(
    y: np.ndarray,
    p: np.ndarray,
    seed: int,
    unit: np.ndarray | None = None,
    replicates: int = REPLICATES,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """Return percentile intervals of `FIGURES`.

    Efron & Tibshirani (1993), chapter 13. With `unit`, whole units (runs) are drawn with
    replacement, because rows of one run are not independent (Field & Welsh 2007). Replicates in
    which a figure cannot be had, as with one class, do not count for that figure.

    Args:
        y: labels 0 or 1, shape (n,).
        p: probability of class 1, shape (n,).
        seed: of the draws.
        unit: what is drawn, shape (n,); rows if None.
        replicates: number of draws.
        level: of the intervals.
    """
    _check(y, p)
    if len(y) == 0:
        return dict.fromkeys(FIGURES, (np.nan, np.nan))
    names, index = np.unique(np.arange(len(y)) if unit is None else unit, return_inverse=True)
    ordered = _Sorted.of(y, p)
    index = index[ordered.order]
    generator = np.random.default_rng(seed)
    size = max(1, _CHUNK // len(y))
    found = []
    for start in range(0, replicates, size):
        count = min(size, replicates - start)
        drawn = generator.multinomial(
            len(names), np.full(len(names), 1 / len(names)), size=count
        ).astype(np.float64)
        found.append(_weighted(drawn[:, index], ordered))
    values = np.concatenate(found)
    tail = (1 - level) / 2
    result: dict[str, Interval] = {}
    for place, name in enumerate(FIGURES):
        column = values[~np.isnan(values[:, place]), place]
        ends = np.quantile(column, [tail, 1 - tail]) if column.size else (np.nan, np.nan)
        result[name] = (float(ends[0]), float(ends[1]))
    return result


def judge_runs(run: np.ndarray, y: np.ndarray, p: np.ndarray) -> pd.DataFrame:
    """Return the verdict on each run: its mean probability of "worn" against one half.

    A mean of exactly 0.5 is no verdict, and no verdict is not right.

    Args:
        run: the run of each row, shape (n,).
        y: labels, one label a run, shape (n,).
        p: probability of "worn", shape (n,).

    Returns:
        One row a run, sorted: RUN_ID, `n`, `y`, `p` (mean), `verdict` (a class or None), `correct`.
    """
    rows = pd.DataFrame({schema.RUN_ID: run, "y": y, "p": p})
    table = rows.groupby(schema.RUN_ID, sort=True).agg(
        n=("p", "size"), y=("y", "first"), p=("p", "mean")
    )
    # Rounded: means of equal probabilities must tie, whatever the order of the additions.
    table["p"] = table["p"].round(12).clip(0, 1)
    worn = table["p"] > 0.5
    undecided = (table["p"] == 0.5).to_numpy()
    names = np.where(worn, schema.WORN, schema.UNWORN).astype(object)
    names[undecided] = None
    table["verdict"] = names
    table["correct"] = (worn == (table["y"] == 1)).to_numpy() & ~undecided
    return table.reset_index()


@dataclass(frozen=True)
class _Sorted:
    """Rows by rising probability; `starts` begins each group of equal ones."""

    order: np.ndarray
    y: np.ndarray
    p: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, p: np.ndarray) -> _Sorted:
        order = np.argsort(p, kind="stable")
        p = np.asarray(p, dtype=np.float64)[order]
        starts = np.flatnonzero(np.concatenate([[True], p[1:] != p[:-1]])) if p.size else order
        return cls(order, np.asarray(y)[order] == 1, p, starts)


def _weighted(weight: np.ndarray, rows: _Sorted) -> np.ndarray:
    """Return `FIGURES` for each weighting of the sorted rows, shape (weightings, figures)."""
    if weight.shape[1] == 0:
        return np.full((len(weight), len(FIGURES)), np.nan)
    y, says = rows.y.astype(np.float64), (rows.p > 0.5).astype(np.float64)
    total, positives = weight.sum(axis=1), weight @ y
    tp, said = weight @ (y * says), weight @ says
    fp, fn, negatives = said - tp, positives - tp, total - positives
    tn = negatives - fp
    eps = np.finfo(np.float64).eps  # as scikit-learn clips
    clipped = np.clip(rows.p, eps, 1 - eps)
    loss = -(xlogy(y, clipped) + xlogy(1 - y, 1 - clipped))
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = (tp + tn) / total
        precision, recall = tp / said, tp / positives
        f1 = 2 * tp / (2 * tp + fp + fn)
        mcc = (tp * tn - fp * fn) / np.sqrt(said * (total - said) * positives * negatives)
        area = _areas(weight, rows) / (positives * negatives)
        log_loss = weight @ loss / total
        brier = weight @ (rows.p - y) ** 2 / total
    return np.column_stack([accuracy, precision, recall, f1, mcc, area, log_loss, brier])


def _areas(weight: np.ndarray, rows: _Sorted) -> np.ndarray:
    """Return the weight of pairs in the right order, ties one half."""
    positive = np.add.reduceat(weight * rows.y, rows.starts, axis=1)
    negative = np.add.reduceat(weight * ~rows.y, rows.starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    areas: np.ndarray = (positive * (below + negative / 2)).sum(axis=1)
    return areas


def _check(y: np.ndarray, p: np.ndarray) -> None:
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels have to be 0 or 1")
    if not ((np.asarray(p) >= 0) & (np.asarray(p) <= 1)).all():
        raise ValueError("probabilities have to lie between 0 and 1, and none may be NaN")
