"""What a member's trees compare, and the cuts between the values that were recorded of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolwear.automl.export import preprocessors, rescaling
from toolwear.automl.export.common import doubles
from toolwear.model.onnx_graph import Tensor
from toolwear.model.onnx_trees import Cuts


def tree_input(rows: Tensor, pipeline: Any, recorded: np.ndarray) -> tuple[Tensor, Cuts]:
    """Return the rows that a member's trees are given in the graph, and where they may compare.

    A rescaler that takes each column by itself and never falls is folded into the thresholds: the
    graph compares recorded values. Any other is kept, and thresholds lie between its results.

    Args:
        rows: the graph's input.
        pipeline: the fitted member.
        recorded: every row that there is, float64 (n, features).

    Raises:
        UnsupportedError: a part before the trees has no conversion.
    """
    data = pipeline.named_steps["data_preprocessor"]
    features = pipeline.named_steps["feature_preprocessor"].choice
    folded = _folded(pipeline, recorded)
    if folded is not None:
        chosen, cuts = folded
        return rescaling.imputed(rows, data).columns(chosen), cuts
    rows = preprocessors.preprocess_features(rescaling.preprocess_data(rows, data), features)
    return rows, Cuts.of(_handed_on(pipeline, recorded))


def _folded(pipeline: Any, recorded: np.ndarray) -> tuple[np.ndarray, Cuts] | None:
    """Return which varying columns the trees are given and the cuts of these, if they fold."""
    data = pipeline.named_steps["data_preprocessor"]
    columns, statistics = rescaling.varying(data)
    chosen = preprocessors.selected(
        pipeline.named_steps["feature_preprocessor"].choice, len(columns)
    )
    if chosen is None or not rescaling.rescales_by_column(data):
        return None
    values = []
    for column, statistic in zip(columns[chosen], statistics[chosen]):
        held = recorded[:, column]
        values.append(np.unique(np.where(np.isnan(held), statistic, held)))
    # Each column climbs through its own values, the shorter ones stay at their last.
    steps = max(len(held) for held in values)
    climb = np.tile(recorded[:1], (steps, 1))
    for column, held in zip(columns[chosen], values):
        climb[:, column] = np.pad(held, (0, steps - len(held)), mode="edge")
    after = _handed_on(pipeline, climb)
    seen = [after[: len(held), place] for place, held in enumerate(values)]
    if any((np.diff(column) < 0).any() for column in seen):
        return None
    return chosen, Cuts(values, seen)


def _handed_on(pipeline: Any, rows: np.ndarray) -> np.ndarray:
    """Return what the classifier is given for rows, float64, as the pipeline itself computes it."""
    # A copy: some of auto-sklearn's components change what they are given.
    rows = pipeline.named_steps["data_preprocessor"].transform(rows.copy())
    return doubles(pipeline.named_steps["feature_preprocessor"].transform(rows))
