"""What a model could know about a test row without having seen any wear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

from toolwear.dataset import schema
from toolwear.evaluation.audit.columns import run_auc
from toolwear.evaluation.protocols import GROUPED, Fold, groups
from toolwear.evaluation.questions import too_few_groups

_CONFIDENCE = 0.95
_TREES = 30
_FOLDS = 3


def neighbours(keys: pd.DataFrame, order: str, features: np.ndarray, fold: Fold) -> dict[str, Any]:
    """Return how many test samples have a neighbour or an exact twin in training.

    Args:
        keys: RUN_ID, ROW and TIME_INDEX of n samples.
        order: ROW for samples that are rows: a neighbour is stored directly before or after.
            TIME_INDEX for samples that are windows: a neighbour is the run's window before or
            after, which overlaps if the stride is shorter than the window.
        features: shape (n, f).
        fold: positions of the training and test samples.

    Returns:
        `adjacent_share` and `twin_share` (equal in every feature) of the test samples, None if
        there are none; `test_rows`, `train_rows`.
    """
    if keys.empty:
        return {"adjacent_share": None, "twin_share": None, "train_rows": 0, "test_rows": 0}
    _, run = np.unique(keys[schema.RUN_ID].to_numpy(dtype=str), return_inverse=True)
    inside = keys[order].to_numpy(dtype=np.int64)
    if order == schema.TIME_INDEX:
        inside = keys.groupby(schema.RUN_ID)[order].rank(method="first").to_numpy(dtype=np.int64)
    # Wide apart: the last sample of a run is no neighbour of the first of the next.
    place = run.astype(np.int64) * (2 + int(inside.max())) + inside
    train, test = place[fold.train_index], place[fold.test_index]
    content = pd.util.hash_pandas_object(pd.DataFrame(features), index=False).to_numpy()
    adjacent = np.isin(test - 1, train) | np.isin(test + 1, train)
    twin = np.isin(content[fold.test_index], content[fold.train_index])
    return {
        "adjacent_share": float(adjacent.mean()) if test.size else None,
        "twin_share": float(twin.mean()) if test.size else None,
        "train_rows": int(fold.train_index.size),
        "test_rows": int(fold.test_index.size),
    }


def copied_rows(rows: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    """Return the pairs of runs that hold rows equal in every column.

    Args:
        rows: cutting rows with RUN_ID and `columns`.
        columns: the recorded columns.

    Returns:
        For each such pair `run`, `other` and `share`, the share of the shorter run's rows that the
        other holds too.
    """
    content = pd.Series(pd.util.hash_pandas_object(rows[columns], index=False).to_numpy())
    run = rows[schema.RUN_ID].astype(str).reset_index(drop=True)
    held = pd.DataFrame({"content": content, "run": run})
    length = held.groupby("run").size()
    distinct = held.drop_duplicates()
    shared = distinct[distinct.duplicated("content", keep=False)]
    pairs = shared.merge(shared, on="content", suffixes=("", "_other"))
    pairs = pairs[pairs["run"] < pairs["run_other"]]
    counted = pairs.groupby(["run", "run_other"], as_index=False).size()
    return [
        {"run": one, "other": other, "share": int(count) / int(min(length[one], length[other]))}
        for one, other, count in counted.itertuples(index=False)
    ]


def run_identification(features: np.ndarray, run: np.ndarray, seed: int) -> dict[str, Any]:
    """Return how well a forest names the run of a held-out row from its features.

    Args:
        features: shape (n, f), without NaN.
        run: the run of each row, shape (n,).
        seed: seed of the folds and the forest.

    Returns:
        `accuracy` (row-level cross-validation, pooled), `chance` (share of the longest run),
        `rows`, `runs`, `folds`; accuracy None when no two runs have a row for each fold.
    """
    names, counts = np.unique(run, return_counts=True)
    kept = np.isin(run, names[counts >= _FOLDS])
    features, run = features[kept], run[kept]
    result: dict[str, Any] = {
        "accuracy": None,
        "chance": float(counts.max() / counts.sum()) if counts.size else None,
        "rows": int(run.size),
        "runs": int((counts >= _FOLDS).sum()),
        "folds": _FOLDS,
    }
    if result["runs"] < 2:
        return result
    right = 0
    for train, test in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(
        features, run
    ):
        forest = RandomForestClassifier(_TREES, random_state=seed, n_jobs=1)
        forest.fit(features[train], run[train])
        right += int((forest.predict(features[test]) == run[test]).sum())
    result["accuracy"] = right / run.size
    return result


def settings_only(runs: pd.DataFrame, settings: list[str]) -> dict[str, Any]:
    """Return how well the machine's settings alone tell the label of a held-out run.

    A decision tree on the settings, one row a run, classes weighted alike. Where each setting
    was run once with either tool, the run left in carries the other label, so that leaving one run
    out scores far *below* one half: no protocol may be compared with 50 %.

    Args:
        runs: RUN_ID, SETTING, LABEL and the setting columns, one row a run.
        settings: names of those columns.

    Returns:
        For those of `new_run` and `new_setting` that these runs can carry `correct`, `of`,
        `accuracy`, `interval` (Wilson, 95 %) and `run_auc`; `majority`: the first four for the
        commoner label of the training runs.
    """
    # Without any setting the tree says the same of all runs, as it should.
    values = runs[settings].to_numpy(dtype=float) if settings else np.zeros((len(runs), 1))
    label = runs[schema.LABEL].to_numpy(dtype=int)
    result: dict[str, Any] = {}
    for protocol in GROUPED:
        group = groups(protocol, runs)
        if too_few_groups(protocol, group, label):
            continue
        tree, majority = np.full(len(runs), 0.5), np.full(len(runs), 0.5)
        for name in np.unique(group):
            train, test = group != name, group == name
            fitted = DecisionTreeClassifier(class_weight="balanced", random_state=0)
            fitted.fit(values[train], label[train])
            tree[test] = fitted.predict_proba(values[test])[:, 1].round(9)
            majority[test] = label[train].mean()
        area = float(run_auc(tree[None], label[None])[0])
        result[protocol] = _counted(tree, label) | {
            "run_auc": area,
            schema.MAJORITY: _counted(majority, label),
        }
    return result


def _counted(worn: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Return how many runs are right; 0.5 is no answer, and no answer is not right."""
    correct = int((np.where(label == 1, worn, 1 - worn) > 0.5).sum())
    wilson = binomtest(correct, len(label)).proportion_ci(_CONFIDENCE, method="wilson")
    return {
        "correct": correct,
        "of": len(label),
        "accuracy": correct / len(label),
        "interval": [float(wilson.low), float(wilson.high)],
    }
