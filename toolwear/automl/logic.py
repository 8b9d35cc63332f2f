"""Which runs and settings get a search of their own, and the tables that are handed on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from toolwear.dataset import schema
from toolwear.evaluation.protocols import Fold
from toolwear.features.dataset import Samples


def choose_folds(folds: list[Fold], y: np.ndarray, count: int, seed: int) -> list[Fold]:
    """Return `count` folds drawn by `seed`, in their order, balanced over the classes they hold.

    Folds are drawn in turn from those with both classes, with unworn only and with worn only, as
    far as there are any, so that four of the runs are two of each class.

    Args:
        folds: all folds of a protocol.
        y: labels of the samples that the folds index.
        count: how many; 0 or more than there are: all.
        seed: of the draw.
    """
    if count == 0 or count >= len(folds):
        return folds
    generator = np.random.RandomState(seed)
    strata: dict[tuple[int, ...], list[int]] = {}
    for position in generator.permutation(len(folds)):
        held = tuple(sorted(set(y[folds[position].test_index].tolist())))
        strata.setdefault(held, []).append(int(position))
    queues = [strata[held] for held in sorted(strata, key=lambda held: (-len(held), held))]
    chosen: list[int] = []
    while len(chosen) < count:
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop())
    return [folds[position] for position in sorted(chosen)]


def group_folds(y: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray | None:
    """Return the fold of each row such that no group is in two folds and each has both classes.

    The log loss needs both. Large groups first, each joins the fold that has fewest rows of its
    classes, as in scikit-learn's later StratifiedGroupKFold.

    Args:
        y: 0 or 1, (rows,).
        groups: names of groups, (rows,).
        count: of folds at most; fewer if a class is in fewer groups.

    Returns:
        Fold numbers, int (rows,), or None where a class is in one group only.
    """
    names, position = np.unique(groups, return_inverse=True)
    rows = np.zeros((len(names), 2))
    np.add.at(rows, (position, y), 1)
    count = min(count, *(int((rows[:, label] > 0).sum()) for label in (0, 1)))
    if count < 2:
        return None
    filled = np.zeros((count, 2))
    chosen = np.zeros(len(names), dtype=np.int64)
    for group in np.argsort(-rows.sum(axis=1), kind="stable"):
        held = rows[group] > 0
        # A fold without any row of one of the group's classes comes first.
        lacking = (filled[:, held] == 0).any(axis=1)
        order = np.lexsort((filled[:, held].sum(axis=1), ~lacking))
        chosen[group] = order[0]
        filled[order[0]] += rows[group]
    return chosen[position] if (filled > 0).all() else None


def prediction_table(
    protocol: str, feature_set: str, fold: Fold, samples: Samples, p: np.ndarray
) -> pd.DataFrame:
    """Return the predictions of a fold's test samples in the long format of all models.

    Args:
        protocol: of the fold.
        feature_set: that the model uses.
        fold: whose test samples were predicted.
        samples: that the fold indexes.
        p: probability of the class "worn", (test samples,).
    """
    tested = samples.frame.iloc[fold.test_index]
    return pd.DataFrame(
        {
            "protocol": protocol,
            "feature_set": feature_set,
            "model": schema.AUTO_SKLEARN,
            "fold": fold.name,
            schema.SAMPLE_ID: tested[schema.SAMPLE_ID].to_numpy(),
            schema.RUN_ID: tested[schema.RUN_ID].to_numpy(),
            "y": samples.y[fold.test_index].astype(np.int8),
            "p": p,
        }
    )
