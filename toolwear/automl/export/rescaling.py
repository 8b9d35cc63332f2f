"""Imputation, variance threshold and rescaling: auto-sklearn's data preprocessor as ONNX nodes.

Sources: scikit-learn 0.24's `sklearn.preprocessing`; Yeo and Johnson, A new family of power
transformations to improve normality or symmetry, Biometrika 87(4), 2000.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolwear.automl.export.common import (
    UnsupportedError,
    affine,
    doubles,
    length,
    lookup,
    not_negative,
)
from toolwear.automl.export.quantiles import quantiles
from toolwear.model.onnx_graph import Tensor


def preprocess_data(rows: Tensor, preprocessor: Any) -> Tensor:
    """Return rows as the fitted data preprocessor hands them on.

    Raises:
        UnsupportedError: a column is not numeric or the rescaler has no conversion.
    """
    return rescale(imputed(rows, preprocessor), rescaler(preprocessor))


def imputed(rows: Tensor, preprocessor: Any) -> Tensor:
    """Return the columns that vary, without NaN, in the units of the recordings."""
    columns, statistics = varying(preprocessor)
    rows = rows.columns(columns)
    return rows.graph.where(rows.graph.op("IsNaN", rows), statistics[None], rows)


def varying(preprocessor: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the columns that the preprocessor keeps, and what NaN becomes there.

    Raises:
        UnsupportedError: a column is not numeric.
    """
    transformers = [
        entry
        for entry in preprocessor.choice.column_transformer.transformers_
        if entry[0] != "remainder"
    ]
    if [entry[0] for entry in transformers] != ["numerical_transformer"]:
        raise UnsupportedError("only numeric columns are converted")
    _, pipeline, columns = transformers[0]
    steps = pipeline.named_steps
    support = steps["variance_threshold"].preprocessor.get_support()
    statistics = doubles(steps["imputation"].preprocessor.statistics_)
    return _positions(columns)[support], statistics[support]


def rescales_by_column(preprocessor: Any) -> bool:
    """Return whether what becomes of a value does not depend on its row's other columns."""
    return type(rescaler(preprocessor)).__name__ != "Normalizer"


def rescaler(preprocessor: Any) -> Any:
    """Return the fitted rescaler of a data preprocessor, or "passthrough"."""
    (_, pipeline, _) = preprocessor.choice.column_transformer.transformers_[0]
    return pipeline.named_steps["rescaling"].choice.preprocessor


def rescale(rows: Tensor, part: Any) -> Tensor:
    """Return rows as the fitted rescaler gives them."""
    result: Tensor = lookup(RESCALERS, part, "rescaler")(rows, part)
    return result


def _positions(columns: Any) -> np.ndarray:
    columns = np.asarray(columns)
    if columns.dtype == bool:
        return np.flatnonzero(columns)
    return columns.astype(np.int64)


def _passthrough(rows: Tensor, part: Any) -> Tensor:  # noqa: ARG001 - one signature for all
    return rows


def _standard(rows: Tensor, part: Any) -> Tensor:
    return affine(
        rows, part.mean_ if part.with_mean else None, part.scale_ if part.with_std else None
    )


def _robust(rows: Tensor, part: Any) -> Tensor:
    return affine(
        rows,
        part.center_ if part.with_centering else None,
        part.scale_ if part.with_scaling else None,
    )


def _min_max(rows: Tensor, part: Any) -> Tensor:
    return rows * doubles(part.scale_)[None] + doubles(part.min_)[None]


def _normalize(rows: Tensor, part: Any) -> Tensor:
    if part.norm != "l2":
        raise UnsupportedError(f"no exact conversion of the norm {part.norm}")
    return rows / length(rows)


def _yeo_johnson(rows: Tensor, part: Any) -> Tensor:
    graph, power = rows.graph, doubles(part.lambdas_)[None]
    no_power, no_mirror = np.abs(power) < np.spacing(1.0), np.abs(power - 2) <= np.spacing(1.0)
    safe, mirror = np.where(no_power, 1.0, power), np.where(no_mirror, 1.0, 2 - power)
    up, down = not_negative(rows) + 1.0, not_negative(-rows) + 1.0
    above = (graph.op("Pow", up, safe) - 1.0) / safe
    above = graph.where(no_power, graph.op("Log", up), above)
    below = -((graph.op("Pow", down, mirror) - 1.0) / mirror)
    below = graph.where(no_mirror, -graph.op("Log", down), below)
    result = graph.where(rows.below(0.0), below, above)
    return affine(result, part._scaler.mean_, part._scaler.scale_) if part.standardize else result


RESCALERS = {
    "str": _passthrough,  # "passthrough"
    "NoneType": _passthrough,
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MinMaxScaler": _min_max,
    "Normalizer": _normalize,
    "QuantileTransformer": quantiles,
    "PowerTransformer": _yeo_johnson,
}
