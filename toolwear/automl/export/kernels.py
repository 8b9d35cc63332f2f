"""Kernels between rows and fixed points, as `sklearn.metrics.pairwise` computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolwear.automl.export.common import (
    UnsupportedError,
    doubles,
    length,
    not_negative,
    sum_of_squares,
)
from toolwear.model.onnx_graph import Tensor


@dataclass(frozen=True)
class Kernel:
    """A kernel's name and parameters, named as in scikit-learn."""

    name: str
    gamma: float
    degree: float
    coef0: float

    def __call__(self, rows: Tensor, points: Any) -> Tensor:
        """Return the kernel of each row with each point, shape (rows, points).

        Raises:
            UnsupportedError: the kernel is none of those below.
        """
        points = doubles(points)
        if self.name == "rbf":
            return rows.graph.op("Exp", -self.gamma * _squared_distances(rows, points))
        if self.name == "chi2":
            return rows.graph.op("Exp", -self.gamma * _chi2_distances(rows, points))
        if self.name == "cosine":
            norms = np.linalg.norm(points, axis=1, keepdims=True)
            return _products(rows / length(rows), points / np.where(norms == 0, 1, norms))
        products = _products(rows, points)
        if self.name == "linear":
            return products
        scaled = self.gamma * products + self.coef0
        if self.name in {"poly", "polynomial"}:
            return rows.graph.op("Pow", scaled, self.degree)
        if self.name == "sigmoid":
            return rows.graph.op("Tanh", scaled)
        raise UnsupportedError(f"no exact conversion of the kernel {self.name}")


def _products(rows: Tensor, points: np.ndarray) -> Tensor:
    return rows @ points.T


def _squared_distances(rows: Tensor, points: np.ndarray) -> Tensor:
    cross = 2.0 * _products(rows, points)
    return not_negative(sum_of_squares(rows) - cross + (points**2).sum(axis=1)[None])


def _chi2_distances(rows: Tensor, points: np.ndarray) -> Tensor:
    graph = rows.graph
    left = graph.op("Unsqueeze", rows, np.array([1]))  # (rows, 1, columns)
    difference, total = left - points[None], left + points[None]
    empty = total.equals(0.0)
    share = (difference * difference) / graph.where(empty, 1.0, total)
    return graph.op("ReduceSum", graph.where(empty, 0.0, share), np.array([2]), keepdims=0)
