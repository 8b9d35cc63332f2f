"""Scores challenger and champion today, on the same held-back rows."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from components.core import schema
from components.core.onnx_model import OnnxModel
from components.core.package import Package
from components.core.reference import row_keys
from components.decide.comparison import Comparison, compare
from components.features.dataset import Samples

_TIMED_ROWS = 200


@dataclass(frozen=True, eq=False)
class Champion:
    """The champion, ready to answer.

    Attributes:
        version: its number in the registry.
        package: what it is made of.
        model: its graph.
    """

    version: str
    package: Package
    model: OnnxModel


def score(
    challenger: OnnxModel, champion: Champion, samples: Samples, test: np.ndarray, seed: int
) -> Comparison:
    """Return both models' accuracy on the test rows that neither was trained on.

    A champion of an earlier split may have been trained on rows that are held back today; to
    count them would be to its advantage.

    Args:
        challenger: was trained on none of the test rows.
        champion: knows which rows it was trained on.
        samples: of the feature set that both take.
        test: positions of the held-back rows in `samples`.
        seed: of the interval.
    """
    keys = row_keys(samples.frame[schema.SAMPLE_ID].to_numpy()[test])
    unseen = test[~np.isin(keys, champion.package.reference()["trained_on"])]
    fair = unseen.size > 0
    if not fair:  # then at least on the same rows, to the champion's advantage
        unseen = test
    X, y = samples.X[unseen], samples.y[unseen]
    return compare(
        challenger.labels(X) == y,
        champion.model.labels(X) == y,
        samples.run[unseen],
        seed,
        left_out=len(test) - len(unseen),
        fair=fair,
    )


def arrived(champion: Champion, samples: Samples) -> tuple[int, int]:
    """Return how many runs there are of which the champion was trained on no row, and their rows.

    Args:
        champion: knows which rows it was trained on.
        samples: all of the challenger's data.
    """
    keys = row_keys(samples.frame[schema.SAMPLE_ID].to_numpy())
    seen = np.isin(keys, champion.package.reference()["trained_on"])
    new = ~np.isin(samples.run, np.unique(samples.run[seen]))
    return len(np.unique(samples.run[new])), int(new.sum())


def milliseconds_per_row(model: OnnxModel, rows: np.ndarray) -> float:
    """Return the median time for one row at a time, milliseconds, after a warm-up."""
    chosen = rows[np.linspace(0, len(rows) - 1, min(_TIMED_ROWS, len(rows))).astype(int)]
    model.predict_proba(chosen[:1])
    seconds = []
    for row in chosen:
        started = time.perf_counter()
        model.predict_proba(row[None])
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) * 1000
