"""The baselines of the published comparison: fitted on the training half of the known runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto
from sklearn.tree import DecisionTreeClassifier

from components.train.export import exported, share_graph, tree_graph
from toolwear.common.steps import report
from toolwear.common.thresholds import Export
from toolwear.dataset import schema
from toolwear.evaluation.protocols import Fold
from toolwear.features.dataset import Samples
from toolwear.model.learners import Rows, published_forest, search_tree


@dataclass(frozen=True)
class KnownRunsModel:
    """A fitted and exported model.

    Attributes:
        model: its name.
        graph: bytes of the ONNX graph.
        p: P(worn) of all n samples, shape (n,).
        details: parameters, seconds and agreement, for `training.json`.
    """

    model: str
    graph: bytes
    p: np.ndarray
    details: dict[str, Any]


@dataclass(frozen=True)
class _Fit:
    graph: ModelProto
    inputs: np.ndarray
    p: np.ndarray
    details: dict[str, Any]


def fit_known_runs(
    samples: Samples, fold: Fold, names: Sequence[str], seed: int, limits: Export
) -> list[KnownRunsModel]:
    """Fit, export and compare models on the published split.

    Args:
        samples: n samples of a feature set.
        fold: the published split of them.
        names: which models, of `schema.MODELS`.
        seed: of every fit.
        limits: how far a graph may stand off its model.
    """
    known = {
        schema.MAJORITY: _majority,
        schema.SETTINGS_ONLY: _settings_only,
        schema.DECISION_TREE: _decision_tree,
        schema.RANDOM_FOREST: _random_forest,
    }
    models = []
    for name in names:
        started = time.perf_counter()
        report(f"known runs: {name.replace('_', ' ')} on {len(fold.train_index):,} rows")
        fit = known[name](samples, fold.train_index, seed)
        graph, agreement = exported(fit.graph, fit.inputs, fit.p, limits)
        seconds = round(time.perf_counter() - started, 2)
        details = {
            "inputs": list(samples.columns),
            **fit.details,
            "onnx": agreement,
            "bytes": len(graph),
            "seconds": seconds,
        }
        models.append(KnownRunsModel(name, graph, fit.p, details))
    return models


def _majority(samples: Samples, train: np.ndarray, _seed: int) -> _Fit:
    share = float(samples.y[train].mean())
    return _Fit(
        share_graph(share, samples.X.shape[1]),
        samples.X,
        np.full(len(samples.y), share),
        {"parameters": {"share_worn": share}},
    )


def _settings_only(samples: Samples, train: np.ndarray, seed: int) -> _Fit:
    rows = Rows.of(samples).settings
    model = DecisionTreeClassifier(random_state=seed).fit(rows[train], samples.y[train])
    return _Fit(
        tree_graph(model, rows),
        rows,
        model.predict_proba(rows)[:, 1],
        {"inputs": list(samples.setting_names), "parameters": {}},
    )


def _decision_tree(samples: Samples, train: np.ndarray, seed: int) -> _Fit:
    search = search_tree(samples.X[train], samples.y[train], seed)
    model: DecisionTreeClassifier = search.best_estimator_
    return _Fit(
        tree_graph(model, samples.X),
        samples.X,
        model.predict_proba(samples.X)[:, 1],
        {
            "parameters": search.best_params_,
            "search": {
                "draws": len(search.cv_results_["params"]),
                "folds": search.n_splits_,
                "accuracy": float(search.best_score_),
                "note": "A small random search inside the training rows.",
            },
        },
    )


def _random_forest(samples: Samples, train: np.ndarray, seed: int) -> _Fit:
    model = published_forest(seed).fit(samples.X[train], samples.y[train])
    return _Fit(
        tree_graph(model, samples.X),
        samples.X,
        model.predict_proba(samples.X)[:, 1],
        {"parameters": {"n_estimators": model.n_estimators, "others": "scikit-learn's defaults"}},
    )
