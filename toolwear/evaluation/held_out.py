"""Out-of-fold predictions for whole runs and settings, and the choice made inside each fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from toolwear.dataset import schema
from toolwear.evaluation.metrics import binary_metrics, judge_runs
from toolwear.evaluation.protocols import Fold, recordings
from toolwear.model.learners import Learner, Rows, run_weights

_INNER_FOLDS = 5


@dataclass(frozen=True)
class Candidate:
    """A learner on a feature set.

    Attributes:
        feature_set: name of the feature set.
        model: name of the learner.
        rows: the set's samples; all candidates that are compared have the same samples.
        learner: what fits them.
    """

    feature_set: str
    model: str
    rows: Rows
    learner: Learner

    @property
    def name(self) -> str:
        """Model and feature set, for people."""
        return f"{self.model} on {self.feature_set}"


def out_of_fold(
    learner: Learner,
    rows: Rows,
    y: np.ndarray,
    run: np.ndarray,
    folds: Sequence[Fold],
    seed: int,
    balanced: bool = True,
) -> np.ndarray:
    """Return each row's probability by the model that has not seen its fold, shape (n,).

    Args:
        learner: fitted once a fold.
        rows: n rows.
        y: labels (n,).
        run: the run of each row (n,).
        folds: every row is tested once.
        seed: of every fit.
        balanced: whether runs weigh alike and classes do; else recordings do.
    """
    p = np.full(len(y), np.nan)
    for fold in folds:
        train = fold.train_index
        weight = run_weights(y[train], run[train]) if balanced else _alike(recordings(run[train]))
        fitted = learner(rows.take(train), y[train], weight, seed)
        p[fold.test_index] = fitted(rows.take(fold.test_index))
    return p


def _alike(recording: np.ndarray) -> np.ndarray:
    _, index, length = np.unique(recording, return_inverse=True, return_counts=True)
    weights: np.ndarray = 1.0 / length[index]
    return weights


def nested(
    candidates: Sequence[Candidate],
    y: np.ndarray,
    run: np.ndarray,
    group: np.ndarray,
    folds: Sequence[Fold],
    seed: int,
) -> tuple[np.ndarray, dict[str, str]]:
    """Return predictions of which not even the choice of the model has seen the fold's runs.

    In each fold the candidate with the lowest log loss over the training runs, by their mean
    probability in a grouped cross-validation, is fitted on them (Cawley & Talbot 2010).

    Args:
        candidates: on the same n samples.
        y: labels (n,).
        run: the run of each sample (n,).
        group: what the folds hold out, run or setting (n,).
        folds: the outer folds.
        seed: of every fit.

    Returns:
        Probabilities (n,), and the name of what was chosen in each fold.
    """
    p = np.full(len(y), np.nan)
    chosen: dict[str, str] = {}
    for fold in folds:
        train = fold.train_index
        inner = _inner_folds(group[train])
        losses = [
            _inner_loss(candidate, train, y[train], run[train], inner, seed)
            for candidate in candidates
        ]
        best = candidates[int(np.argmin(losses))]
        chosen[fold.name] = best.name
        fitted = best.learner(
            best.rows.take(train), y[train], run_weights(y[train], run[train]), seed
        )
        p[fold.test_index] = fitted(best.rows.take(fold.test_index))
    return p, chosen


def _inner_folds(group: np.ndarray) -> list[Fold]:
    count = min(_INNER_FOLDS, len(np.unique(group)))
    if count < 2:
        everything = np.arange(len(group))
        return [Fold("all", everything, everything)]
    splitter = GroupKFold(count)
    return [
        Fold(str(number), train, test)
        for number, (train, test) in enumerate(splitter.split(group, groups=group))
    ]


def _inner_loss(
    candidate: Candidate,
    train: np.ndarray,
    y: np.ndarray,
    run: np.ndarray,
    inner: Sequence[Fold],
    seed: int,
) -> float:
    p = out_of_fold(candidate.learner, candidate.rows.take(train), y, run, inner, seed)
    runs = judge_runs(run, y, p)
    return binary_metrics(runs["y"].to_numpy(), runs["p"].to_numpy())["log_loss"]


def predictions(
    protocol: str,
    feature_set: str,
    models: Mapping[str, np.ndarray],
    folds: Sequence[Fold],
    keys: pd.DataFrame,
) -> pd.DataFrame:
    """Return the long table of predictions of the folds' test rows.

    Args:
        protocol: its name.
        feature_set: its name.
        models: probabilities by model, each (n,).
        folds: whose test rows are listed.
        keys: key columns of the n samples.
    """
    tested = np.concatenate([fold.test_index for fold in folds])
    names = np.concatenate([np.full(len(f.test_index), f.name, dtype=object) for f in folds])
    taken = keys.iloc[tested]
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "protocol": protocol,
                    "feature_set": feature_set,
                    "model": model,
                    "fold": names,
                    schema.SAMPLE_ID: taken[schema.SAMPLE_ID].to_numpy(),
                    schema.RUN_ID: taken[schema.RUN_ID].to_numpy(),
                    "y": taken[schema.LABEL].to_numpy(dtype=np.int8),
                    "p": p[tested],
                }
            )
            for model, p in models.items()
        ],
        ignore_index=True,
    )
