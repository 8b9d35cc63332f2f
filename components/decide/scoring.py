"""Scores challenger and champion today, on the same held-back rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolwear.dataset import schema
from toolwear.features.dataset import Samples
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import Package
from toolwear.model.reference import row_keys
from toolwear.release.comparison import Comparison, compare


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
