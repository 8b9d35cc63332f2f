"""Baseline models as ONNX graphs, compared with what they were made from on every row."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto

from toolwear.common.thresholds import Export
from toolwear.model.onnx_graph import constant_model, to_bytes
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.onnx_trees import forest_model


def share_graph(share: float, n_features: int) -> ModelProto:
    """Return the graph that gives every row P(worn) = `share`."""
    return constant_model(np.array([1 - share, share]), n_features)


def tree_graph(model: Any, rows: np.ndarray) -> ModelProto:
    """Return the graph of a fitted scikit-learn tree or forest, for every row that there is."""
    return forest_model(getattr(model, "estimators_", [model]), rows)


def exported(
    graph: ModelProto, rows: np.ndarray, p: np.ndarray, limits: Export
) -> tuple[bytes, dict[str, float | int]]:
    """Return the graph's bytes and how far its answers stand off `p`.

    Args:
        graph: the model.
        rows: every row that there is, float64 (n, features).
        p: P(worn) of the model that the graph was made from, shape (n,).
        limits: how far it may stand off.

    Raises:
        RuntimeError: it stands off further.
    """
    data = to_bytes(graph)
    model = OnnxModel(data)
    agreement: dict[str, float | int] = {
        "rows": len(rows),
        "label_agreement": float((model.labels(rows) == (p > 0.5)).mean()),
        "max_abs_diff": float(np.abs(model.worn(rows) - p).max()),
    }
    if (
        agreement["label_agreement"] < limits.label_agreement
        or agreement["max_abs_diff"] > limits.probability_tolerance
    ):
        raise RuntimeError(f"the ONNX graph does not say what its model says: {agreement}")
    return data, agreement
