"""Rows of numbers out of requests, read strictly: NumPy alone would take text and null for them."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from kserve import InferRequest

from serving.common.refusal import Refusal
from toolwear.common.request_limits import ROWS

_NUMBERS = {int, float}


def instance_rows(payload: dict[str, Any], features: int) -> np.ndarray:
    """Return the rows of a V1 request, float64 (rows, features)."""
    rows = payload.get("instances")
    if type(rows) is not list or not rows:
        raise Refusal("request", 'The body needs "instances": a list of at least one row.')
    if len(rows) > ROWS:
        raise _too_many(len(rows))
    if set(map(type, rows)) != {list}:
        raise Refusal("shape", f"Each instance has to be a list of {features} numbers.")
    if set(map(len, rows)) != {features}:
        index = next(i for i, row in enumerate(rows) if len(row) != features)
        raise Refusal(
            "shape", f"Instance {index} has {len(rows[index])} values; {features} are needed."
        )
    _check_numbers(list(chain.from_iterable(rows)), features)
    return _finite(np.array(rows, dtype=np.float64))


def tensor_rows(request: InferRequest, name: str, features: int) -> np.ndarray:
    """Return the rows of a V2 request, float64 (rows, features).

    Args:
        request: from `v2_request` or from gRPC.
        name: of the one input tensor that the model takes.
        features: its columns.
    """
    if [tensor.name for tensor in request.inputs] != [name]:
        raise Refusal("name", f'There has to be one input, named "{name}".')
    tensor = request.inputs[0]
    if tensor.datatype != "FP64":
        raise Refusal("datatype", f'"{name}" has to be FP64, not {tensor.datatype[:20]}.')
    rows, *rest = tensor.shape or [0]
    if rest != [features] or rows < 1:
        raise Refusal("shape", f'The shape of "{name}" has to be [rows, {features}].')
    if rows > ROWS:
        raise _too_many(rows)
    try:
        if isinstance(tensor.data, list) and tensor.data and not request.from_grpc:
            return _finite(_list_tensor(tensor.data, rows, features))
        return _finite(tensor.as_numpy())
    except ValueError as error:
        if isinstance(error, Refusal):
            raise
        raise _wrong_count(name, rows, features) from None


def _list_tensor(data: list[Any], rows: int, features: int) -> np.ndarray:
    # The protocol allows both the flat and the nested form.
    if type(data[0]) is list:
        if set(map(type, data)) != {list} or len(data) != rows:
            raise Refusal("shape", f"The data have to be {rows} rows of {features} numbers.")
        data = list(chain.from_iterable(data))
    _check_numbers(data, features)
    return np.array(data, dtype=np.float64).reshape(rows, features)


def _check_numbers(values: list[Any], features: int) -> None:
    # np.array would take "1.5", true and null for numbers.
    if not _NUMBERS.issuperset(map(type, values)):
        index = next(i for i, value in enumerate(values) if type(value) not in _NUMBERS)
        raise Refusal(
            "not_a_number",
            f"Value {index % features} of row {index // features} is not a number.",
        )


def _finite(rows: np.ndarray) -> np.ndarray:
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise Refusal("not_finite", f"Value {column} of row {row} is not finite.")
    return rows


def _too_many(rows: int) -> Refusal:
    return Refusal(
        "too_many_rows", f"The request has {rows} rows; send at most {ROWS} at a time.", 413
    )


def _wrong_count(name: str, rows: int, features: int) -> Refusal:
    return Refusal("shape", f'"{name}" has to hold {rows} x {features} numbers, as its shape says.')
