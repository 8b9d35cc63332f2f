"""What the converters share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from toolwear.model.onnx_graph import Operand, Tensor


class UnsupportedError(Exception):
    """A fitted part has no exact counterpart in the graph; its member is left out, with this."""


def lookup(table: Mapping[str, Callable[..., Any]], part: Any, what: str) -> Callable[..., Any]:
    """Return the converter for a fitted part by the name of its class.

    Raises:
        UnsupportedError: there is none.
    """
    name = type(part).__name__
    if name not in table:
        raise UnsupportedError(f"no exact conversion of the {what} {name}")
    return table[name]


def doubles(values: Any) -> np.ndarray:
    """Return values as float64."""
    return np.asarray(values, dtype=np.float64)


def affine(rows: Tensor, offset: Any, scale: Any) -> Tensor:
    """Return ``(rows - offset) / scale`` by column; None leaves a half out."""
    if offset is not None:
        rows = rows - doubles(offset)[None]
    if scale is not None:
        rows = rows / doubles(scale)[None]
    return rows


def select(rows: Tensor, support: np.ndarray) -> Tensor:
    """Return the columns where the boolean `support` holds."""
    return rows if support.all() else rows.columns(np.flatnonzero(support))


def not_negative(rows: Tensor) -> Tensor:
    """Return values with those below zero set to zero."""
    return rows.graph.op("Max", rows, 0.0)


def sum_of_squares(rows: Tensor) -> Tensor:
    """Return the squared Euclidean length of each row, shape (rows, 1)."""
    return (rows * rows).row_sum()


def length(rows: Tensor) -> Tensor:
    """Return the Euclidean length of each row and 1 for a row of zeros, shape (rows, 1)."""
    # ONNX Runtime has no float64 ReduceL2.
    norm = rows.graph.op("Sqrt", sum_of_squares(rows))
    return rows.graph.where(norm.equals(0.0), 1.0, norm)


def clip(values: Tensor, low: Operand, high: Operand) -> Tensor:
    """Return values held between two numbers."""
    return values.graph.op("Clip", values, low, high)


def sigmoid(values: Tensor) -> Tensor:
    """Return ``1 / (1 + exp(-values))``."""
    return values.graph.op("Sigmoid", values)


def softmax(scores: Tensor) -> Tensor:
    """Return each row's softmax."""
    return scores.graph.op("Softmax", scores, axis=1)


def columns_of(*parts: Tensor) -> Tensor:
    """Return parts side by side."""
    return parts[0].graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
