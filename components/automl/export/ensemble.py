"""auto-sklearn's weighted ensemble as ONE ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from components.automl.export import preprocessors, rescaling
from components.automl.export.classifiers import classify
from components.automl.export.common import clip
from components.core.onnx_graph import Graph, Tensor


@dataclass(frozen=True)
class Member:
    """One fitted pipeline of an ensemble and its share of the vote."""

    weight: float
    pipeline: Any

    @property
    def is_dummy(self) -> bool:
        """Whether it is the baseline that knows no features."""
        return not hasattr(self.pipeline, "named_steps")

    @property
    def classifier(self) -> str:
        """auto-sklearn's name of its classifier, such as "extra_trees"."""
        if self.is_dummy:
            return "dummy"
        return str(self.pipeline.config["classifier:__choice__"])

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Return the pipeline's own probabilities, float64 (rows, 2)."""
        # A copy: some of auto-sklearn's components change what they are given.
        result: np.ndarray = self.pipeline.predict_proba(rows.copy()).astype(np.float64)
        return result


def weighted_mean(weights: Sequence[float], probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of members' probabilities, weights scaled to a sum of one.

    Source: `autosklearn.ensembles.EnsembleSelection.predict` and the clipping after it.
    """
    mean = np.zeros(probabilities[0].shape)
    for weight, values in zip(weights, probabilities):
        mean += weight / sum(weights) * values
    result: np.ndarray = np.clip(mean, 0.0, 1.0)
    return result


def ensemble_model(members: Sequence[Member], n_features: int) -> onnx.ModelProto:
    """Return the ONNX model of the members' weighted mean, weights scaled to a sum of one.

    Raises:
        UnsupportedError: a member has a part without an exact conversion.
    """
    graph = Graph(n_features)
    total = sum(member.weight for member in members)
    parts = [_member(graph, member) * (member.weight / total) for member in members]
    mean = parts[0]
    for part in parts[1:]:
        mean = mean + part
    return graph.model(clip(mean, 0.0, 1.0))


def _member(graph: Graph, member: Member) -> Tensor:
    if member.is_dummy:
        return graph.rows_of(member.probabilities(np.zeros((1, graph.n_features)))[0])
    steps = member.pipeline.named_steps
    data, features = steps["data_preprocessor"], steps["feature_preprocessor"].choice
    rows = rescaling.preprocess_data(graph.features, data)
    rows = preprocessors.preprocess_features(rows, features)
    exact = rescaling.is_exact(rescaling.rescaler(data)) and preprocessors.is_exact(features)
    return classify(rows, steps["classifier"].choice, exact)
