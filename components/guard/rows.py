"""What the rows of the training set say of their labels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from toolwear.features.dataset import Samples

_TREES = 100
_MOST_ROWS = 20_000  # that the forest learns from; what is left out is drawn by the seed


@dataclass(frozen=True)
class RowFacts:
    """Labels of the training set's rows.

    Attributes:
        rows: that the forest learnt from.
        before: the share that was contradicted when the champion learnt; None if nobody knows.
        disagreement: share of them whose label the trees that have not seen them contradict.
        per_run: the same, by run.
        other_label: by run, rows labelled otherwise than the table of runs says.
    """

    rows: int
    before: float | None
    disagreement: float
    per_run: dict[str, float]
    other_label: dict[str, int]


def inspect(
    samples: Samples,
    labels: dict[str, int],
    seed: int,
    known: Collection[str] = (),
    before: float | None = None,
) -> RowFacts:
    """Return what a forest and the table of runs say of the labels.

    Rows of a run are near copies of each other, so trees that have not seen a row have seen its
    neighbours: they contradict a label that was flipped alone, and never one that was flipped
    with its whole run (out-of-bag votes: Breiman 2001). How many they contradict of clean labels
    depends on how well the signals tell runs apart, so only recordings that the champion has
    learnt from are compared with what was found then; new runs may be harder to tell.

    Args:
        samples: of the published features, which remember runs best.
        labels: class number of each run in the table of runs.
        seed: of the forest and of the rows that it learns from.
        known: runs of which the champion knows the recording; the forest is asked of these alone.
        before: the disagreement that was found when the champion learnt.
    """
    random = np.random.default_rng(seed)
    asked = np.isin(samples.run, sorted(known)) if known else np.ones(len(samples.y), dtype=bool)
    chosen = np.flatnonzero(asked)
    if len(chosen) > _MOST_ROWS:
        chosen = np.sort(random.choice(chosen, _MOST_ROWS, replace=False))
    X, y, run = samples.X[chosen], samples.y[chosen], samples.run[chosen]
    contradicted = _contradicted(X, y, seed)
    names, index = np.unique(run, return_inverse=True)
    share = np.bincount(index, weights=contradicted) / np.bincount(index)
    all_names, position = np.unique(samples.run, return_inverse=True)
    expected = np.array([labels[name] for name in all_names.tolist()])[position]
    other = samples.run[samples.y != expected]
    odd, count = np.unique(other, return_counts=True)
    return RowFacts(
        rows=len(y),
        before=before if known else None,
        disagreement=float(contradicted.mean()),
        per_run=dict(zip(names.tolist(), share.tolist(), strict=True)),
        other_label=dict(zip(odd.tolist(), count.tolist(), strict=True)),
    )


def _contradicted(X: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    if y.min() == y.max():
        return np.zeros(len(y), dtype=bool)
    forest = RandomForestClassifier(_TREES, oob_score=True, random_state=seed, n_jobs=1).fit(X, y)
    worn: np.ndarray = forest.oob_decision_function_[:, 1]
    return np.asarray((worn > 0.5) != y)
