"""auto-sklearn's weighted ensemble as ONE ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from toolwear.automl.export import preprocessors, rescaling
from toolwear.automl.export.classifiers import classify, is_of_trees
from toolwear.automl.export.common import clip
from toolwear.automl.export.folding import tree_input
from toolwear.model.onnx_graph import Graph, Tensor


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


def ensemble_model(members: Sequence[Member], recorded: np.ndarray) -> onnx.ModelProto:
    """Return the ONNX model of the members' weighted mean, weights scaled to a sum of one.

    Args:
        members: of the fitted ensemble.
        recorded: every row that there is, float64 (rows, features); thresholds of trees lie
            between their values.

    Raises:
        UnsupportedError: a member has a part without an exact conversion.
    """
    graph = Graph(recorded.shape[1])
    total = sum(member.weight for member in members)
    parts = [_member(graph, member, recorded) * (member.weight / total) for member in members]
    mean = parts[0]
    for part in parts[1:]:
        mean = mean + part
    return graph.model(clip(mean, 0.0, 1.0))


def _member(graph: Graph, member: Member, recorded: np.ndarray) -> Tensor:
    if member.is_dummy:
        return graph.rows_of(member.probabilities(np.zeros((1, graph.n_features)))[0])
    steps = member.pipeline.named_steps
    classifier = steps["classifier"].choice
    if is_of_trees(classifier):
        rows, cuts = tree_input(graph.features, member.pipeline, recorded)
        return classify(rows, classifier, cuts)
    rows = rescaling.preprocess_data(graph.features, steps["data_preprocessor"])
    rows = preprocessors.preprocess_features(rows, steps["feature_preprocessor"].choice)
    return classify(rows, classifier)
