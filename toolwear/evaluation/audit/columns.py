"""Does a single column tell the label of a run that has not been seen?

Each column is cut into at most `BINS` quantile bins. For each held-out run the other runs give
the share of worn in every bin, and the mean of it over the run's rows is the run's P(worn). Runs
weigh alike however long they are, and classes weigh alike in every fold, so that the held-out
run's own label does not shine through the class shares. No column is known by name.

The luckiest of many columns looks good by chance. The same figures are therefore made with the
labels permuted over whole runs, and a column's p-value is the share of permutations in which the
best of *all* columns reaches it (Westfall & Young 1993, max-statistic).

A column that does so by itself tells how the machine was set up, unless it is seen to move: where
the tool wears out within recordings, whose set-up is one, a column that moves the same way in them
(sign test) tells of wear, or of the time that goes by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, rankdata

from toolwear.evaluation.protocols import recordings

BINS = 64
PERMUTATIONS = 499
_SIGN_TEST = 0.05
_PRIOR = 0.01  # of a run, spread over the bins: a bin no training run reaches says 0.5
_CHUNK = 2_000_000  # numbers held at a time


@dataclass(frozen=True)
class ColumnResult:
    """How well one column alone judges held-out runs.

    Attributes:
        column: name of the column.
        run_auc: area under the ROC curve over runs, by their mean P(worn).
        runs_right: runs on the right side of 0.5, which itself is no answer.
        runs: runs judged.
        p_family: chance that the best of all columns reaches `run_auc` with permuted labels.
        moves: recordings with rows of both classes in which its mean moves the more common way.
        may_move: recordings with rows of both classes.
    """

    column: str
    run_auc: float
    runs_right: int
    runs: int
    p_family: float
    moves: int = 0
    may_move: int = 0

    def leaks(self, threshold: float) -> bool:
        """Return whether the column ranks the runs and calls them right, both beyond threshold.

        And not by what changes with wear while the set-up stays.
        """
        found = self.run_auc > threshold and self.runs_right > threshold * self.runs
        return found and not self._moves_with_wear()

    def _moves_with_wear(self) -> bool:
        return bool(self.may_move) and binomtest(self.moves, self.may_move).pvalue <= _SIGN_TEST


def scan(
    values: np.ndarray, columns: Sequence[str], run: np.ndarray, label: np.ndarray, seed: int
) -> list[ColumnResult]:
    """Judge each column alone with one run left out at a time.

    Args:
        values: shape (n, columns), without NaN.
        columns: names of the columns; they form the family of the p-values.
        run: the run of each row, shape (n,).
        label: the label of each row's run, 0 or 1, shape (n,).
        seed: seed of the permutations.

    Returns:
        One result a column in the given order; empty when a class has fewer than two runs.
    """
    _, first, runs = np.unique(run, return_index=True, return_inverse=True)
    labels = label[first].astype(float)
    if min(labels.sum(), (1 - labels).sum()) < 2:
        return []
    generator = np.random.default_rng(seed)
    permuted = [generator.permutation(labels) for _ in range(PERMUTATIONS)]
    relabelled = np.stack([labels, *permuted])
    both = _worn_within(run, label)
    areas = np.empty((len(columns), len(relabelled)))
    right = np.empty(len(columns), dtype=int)
    for number in range(len(columns)):
        worn = held_out_probability(_shares(values[:, number], runs), relabelled)
        areas[number] = run_auc(worn, relabelled)
        right[number] = np.count_nonzero(np.where(labels == 1, worn[0], 1 - worn[0]) > 0.5)
    best = areas[:, 1:].max(axis=0)
    return [
        ColumnResult(
            column=column,
            run_auc=float(areas[number, 0]),
            runs_right=int(right[number]),
            runs=len(labels),
            p_family=float((1 + np.count_nonzero(best >= areas[number, 0])) / (1 + best.size)),
            moves=_moves(values[:, number], both),
            may_move=len(both),
        )
        for number, column in enumerate(columns)
    ]


def _worn_within(run: np.ndarray, label: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the places of unworn and worn rows of each recording that has both."""
    recording = recordings(run)
    halves = [
        (np.flatnonzero(here & (label == 0)), np.flatnonzero(here & (label == 1)))
        for name in np.unique(recording[label == 1])
        for here in (recording == name,)
    ]
    return [(unworn, worn) for unworn, worn in halves if unworn.size]


def _moves(values: np.ndarray, both: Sequence[tuple[np.ndarray, np.ndarray]]) -> int:
    up = sum(float(values[worn].mean()) > float(values[unworn].mean()) for unworn, worn in both)
    down = sum(float(values[worn].mean()) < float(values[unworn].mean()) for unworn, worn in both)
    return max(up, down)


def _shares(values: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Return the share of each run's rows in each quantile bin, shape (runs, bins)."""
    distinct, bins = np.unique(values, return_inverse=True)
    if distinct.size > BINS:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
        bins = np.searchsorted(edges, values, side="right")
    counts = np.zeros((runs.max() + 1, bins.max() + 1))
    np.add.at(counts, (runs, bins), 1)
    shares: np.ndarray = counts / counts.sum(axis=1, keepdims=True)
    return shares


def held_out_probability(shares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return P(worn) of each run as judged by all others.

    Args:
        shares: share of each run's rows in each bin, shape (runs, bins).
        labels: 0 or 1, shape (labelings, runs), at least two runs a class.

    Returns:
        Shape (labelings, runs).
    """
    size = max(1, _CHUNK // shares.size)
    chunks = [labels[start : start + size] for start in range(0, len(labels), size)]
    return np.concatenate([_held_out_chunk(shares, chunk) for chunk in chunks])


def _held_out_chunk(shares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    prior = _PRIOR / shares.shape[1]
    densities = []
    for member in (labels, 1 - labels):
        others = member.sum(axis=1, keepdims=True) - member
        total = (member @ shares)[:, None, :] - member[:, :, None] * shares
        densities.append(total / others[:, :, None] + prior)
    worn = densities[0] / (densities[0] + densities[1])
    # Rounded: equal columns must tie, whatever the order of the additions.
    mean: np.ndarray = np.einsum("lrb,rb->lr", worn, shares).round(9)
    return mean


def run_auc(worn: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve over runs for each labeling; ties count one half."""
    ranks = rankdata(worn, axis=1)
    positives = labels.sum(axis=1)
    negatives = labels.shape[1] - positives
    above = (ranks * labels).sum(axis=1) - positives * (positives + 1) / 2
    area: np.ndarray = above / (positives * negatives)
    return area
