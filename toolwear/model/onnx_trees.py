"""Decision trees and their sums as one ONNX operator, for any scikit-learn from 0.24 on.

Operator: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html (version 3:
float64 thresholds and sums; its output alone is float32 by specification).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from toolwear.model.onnx_graph import ML_DOMAIN, Graph, Tensor

AT_MOST = "BRANCH_LEQ"  # left when feature <= threshold
AT_LEAST = "BRANCH_GTE"


@dataclass(frozen=True)
class Tree:
    """One tree, node by node; node 0 is the root.

    Attributes:
        feature: column that an inner node compares, int (nodes,).
        threshold: what it is compared with, float64 (nodes,).
        left: next node when the comparison holds, -1 marks a leaf, int (nodes,).
        right: next node when it does not, int (nodes,).
        value: what a leaf adds, float64 (nodes,).
        target: output column that a leaf adds to, int (nodes,).
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    target: np.ndarray


def tree_ensemble(
    rows: Tensor, trees: Sequence[Tree], targets: int = 1, mode: str = AT_MOST
) -> Tensor:
    """Return the sum of the trees' leaves, float64 (rows, targets).

    Args:
        rows: float64 (rows, features) without NaN.
        trees: at least one.
        targets: number of output columns.
        mode: AT_MOST or AT_LEAST, the comparison of every inner node.
    """
    sizes = [len(tree.left) for tree in trees]
    tree_ids = np.repeat(np.arange(len(trees)), sizes)
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    leaf = np.concatenate([tree.left for tree in trees]) < 0

    def inner(name: str) -> np.ndarray:
        return np.where(leaf, 0, np.concatenate([getattr(tree, name) for tree in trees]))

    def at_leaves(name: str) -> np.ndarray:
        joined: np.ndarray = np.concatenate([getattr(tree, name) for tree in trees])[leaf]
        return joined

    summed = rows.graph.op(
        "TreeEnsembleRegressor",
        rows,
        domain=ML_DOMAIN,
        n_targets=targets,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=tree_ids.tolist(),
        nodes_nodeids=node_ids.tolist(),
        nodes_featureids=inner("feature").tolist(),
        nodes_values_as_tensor=_doubles("thresholds", inner("threshold")),
        nodes_modes=np.where(leaf, "LEAF", mode).tolist(),
        nodes_truenodeids=inner("left").tolist(),
        nodes_falsenodeids=inner("right").tolist(),
        target_treeids=tree_ids[leaf].tolist(),
        target_nodeids=node_ids[leaf].tolist(),
        target_ids=at_leaves("target").tolist(),
        target_weights_as_tensor=_doubles("values", at_leaves("value")),
    )
    return summed.as_double()


class Cuts:
    """The cuts between recorded values that thresholds of trees stand for.

    A fitted threshold is often a recorded value itself, so that the last bit of a new value decides
    on which side it falls. The middle between two neighbours separates all recorded rows alike and
    is as far from both as it can be.

    Args:
        values: what each column of the graph's rows has held, one array of any order a column.
        seen: what the fitted trees were given in its place, in the same order: `values` themselves,
            or what a rescaler that never falls has made of them.
    """

    def __init__(self, values: Sequence[np.ndarray], seen: Sequence[np.ndarray]) -> None:
        self._seen: list[np.ndarray] = []
        self._between: list[np.ndarray] = []
        for column, given in zip(values, seen):
            recorded, first = np.unique(column, return_index=True)
            middle = recorded[:-1] + np.diff(recorded) / 2
            # Neighbours in the last bit have no middle; "at most the lower one" separates them.
            middle = np.where(middle < recorded[1:], middle, recorded[:-1])
            self._seen.append(given[first])
            self._between.append(np.concatenate([[-np.inf], middle, [np.inf]]))

    @classmethod
    def of(cls, rows: np.ndarray) -> Cuts:
        """Return the cuts of trees that take `rows`, float64 (rows, features), as they are."""
        return cls(list(rows.T), list(rows.T))

    def move(self, tree: Tree, compares: type = np.float64) -> Tree:
        """Return the tree with each threshold in the middle between the values that it separates.

        Args:
            tree: as it was fitted.
            compares: type in which its library compares values, np.float32 for scikit-learn's
                trees but for the boosted ones.
        """
        threshold = tree.threshold.copy()
        inner = tree.left >= 0
        for column in np.unique(tree.feature[inner]):
            here = inner & (tree.feature == column)
            seen = self._seen[column].astype(compares).astype(np.float64)
            at_most = np.searchsorted(seen, threshold[here], side="right")
            threshold[here] = self._between[column][at_most]
        return replace(tree, threshold=threshold)


def sklearn_tree(
    estimator: Any, value: np.ndarray | None = None, target: np.ndarray | None = None
) -> Tree:
    """Return a fitted scikit-learn tree with these leaf values, else with P(class 1)."""
    tree = estimator.tree_
    return Tree(
        feature=np.asarray(tree.feature, dtype=np.int64),
        threshold=np.asarray(tree.threshold, dtype=np.float64),
        left=np.asarray(tree.children_left, dtype=np.int64),
        right=np.asarray(tree.children_right, dtype=np.int64),
        value=leaf_probabilities(estimator)[:, 1] if value is None else value,
        target=np.zeros(tree.node_count, dtype=np.int64) if target is None else target,
    )


def leaf_probabilities(estimator: Any) -> np.ndarray:
    """Return the class probabilities of each node of a fitted classification tree.

    Shape (nodes, classes). Nodes hold sample weights in old and shares in new scikit-learn.
    """
    weights = np.asarray(estimator.tree_.value[:, 0, :], dtype=np.float64)
    total = weights.sum(axis=1, keepdims=True)
    shares: np.ndarray = weights / np.where(total == 0, 1, total)
    return shares


def forest(rows: Tensor, estimators: Sequence[Any], cuts: Cuts) -> Tensor:
    """Return a forest's probabilities (rows, 2): the mean over its fitted trees."""
    trees = [cuts.move(sklearn_tree(estimator), np.float32) for estimator in estimators]
    # Divided after the sum, as scikit-learn does: votes of pure leaves then stay exact, ties too.
    worn = tree_ensemble(rows, trees) / float(len(trees))
    return rows.graph.two_classes(worn)


def forest_model(estimators: Sequence[Any], recorded: np.ndarray) -> onnx.ModelProto:
    """Return the ONNX model of a forest (its `estimators_`) or of one tree (a list of one).

    Args:
        estimators: fitted `DecisionTreeClassifier`s for the classes 0 and 1.
        recorded: every row that there is, float64 (rows, features): on these the graph answers as
            the forest does, and its thresholds lie between their values.
    """
    graph = Graph(recorded.shape[1])
    return graph.model(forest(graph.features, estimators, Cuts.of(recorded)))


def tree_nodes(model: bytes) -> int:
    """Return how many nodes the trees of a graph have together."""
    graph = onnx.load_model_from_string(model).graph
    return sum(
        len(attribute.ints)
        for node in graph.node
        for attribute in node.attribute
        if attribute.name == "nodes_nodeids"
    )


def _doubles(name: str, values: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=np.float64), name)
