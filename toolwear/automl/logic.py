"""Which runs and settings get a search of their own, and the tables that are handed on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from toolwear.dataset import schema
from toolwear.evaluation.protocols import Fold
from toolwear.features.dataset import Samples


def divide(folds: list[Fold], y: np.ndarray, count: int, seed: int) -> list[Fold]:
    """Return `count` folds, each of which holds back several of these and all of them each once.

    Folds with both classes, with unworn only and with worn only are spread evenly, drawn by
    `seed`.

    Args:
        folds: all folds of a protocol, each of which holds back what no other does.
        y: labels of the samples that the folds index.
        count: how many; 0 or more than there are: the folds themselves; 1: only the first of them
            that is drawn, to try one search.
        seed: of the draw.
    """
    if count == 0 or count >= len(folds):
        return folds
    generator = np.random.RandomState(seed)
    strata: dict[tuple[int, ...], list[Fold]] = {}
    for position in generator.permutation(len(folds)):
        fold = folds[position]
        strata.setdefault(tuple(np.unique(y[fold.test_index]).tolist()), []).append(fold)
    drawn = [
        fold
        for held in sorted(strata, key=lambda held: (-len(held), held))
        for fold in strata[held]
    ]
    if count == 1:
        return drawn[:1]
    return [
        _together(f"part-{number + 1}-of-{count}", drawn[number::count]) for number in range(count)
    ]


def _together(name: str, folds: list[Fold]) -> Fold:
    held = np.sort(np.concatenate([fold.test_index for fold in folds]))
    return Fold(name, np.setdiff1d(folds[0].train_index, held), held)


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
