"""The graph builder and the trees that every exported model is made of."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from toolwear.model.onnx_graph import Graph, Tensor, constant_model, to_bytes
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.onnx_trees import AT_LEAST, Cuts, Tree, forest_model, tree_ensemble


def rows(count: int, seed: int) -> np.ndarray:
    """Rounded values: thresholds of trees then lie beside values of the data."""
    return np.random.default_rng(seed).normal(size=(count, 5)).round(2)


def labels(X: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(3).normal(size=len(X)) * 0.3
    return (X[:, 0] * X[:, 1] + noise > 0).astype(int)


def result(probabilities: Tensor, X: np.ndarray) -> np.ndarray:
    """Run a graph whose output is taken for probabilities."""
    return OnnxModel(to_bytes(probabilities.graph.model(probabilities))).predict_proba(X)


def test_operators_are_numpys() -> None:
    X = rows(50, 1)[:, :2]
    graph = Graph(2)
    x, array = graph.features, np.array([[2.0, -3.0]])
    there = 1.5 - (array - x) * x / array + -x @ np.array([[1.0, 2.0], [0.5, -1.0]])
    expected = 1.5 - (array - X) * X / array + -X @ np.array([[1.0, 2.0], [0.5, -1.0]])
    assert np.array_equal(result(there, X), expected)


def test_rows_of_ignores_nan_features() -> None:
    graph = OnnxModel(to_bytes(constant_model(np.array([0.25, 0.75]), 3)))
    assert graph.predict_proba(np.full((2, 3), np.nan)).tolist() == [[0.25, 0.75]] * 2
    assert graph.labels(np.zeros((2, 3))).tolist() == [1, 1]


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(max_depth=6, random_state=0),
        RandomForestClassifier(50, random_state=0),
        RandomForestClassifier(20, max_depth=4, class_weight="balanced", random_state=0),
        ExtraTreesClassifier(20, random_state=0),
    ],
    ids=lambda model: f"{type(model).__name__}-{model.max_depth}",
)
def test_forest_is_scikit_learns(
    model: DecisionTreeClassifier | RandomForestClassifier | ExtraTreesClassifier,
) -> None:
    X, other = rows(1500, 1), rows(4000, 2)
    model.fit(X, labels(X))
    recorded = np.concatenate([X, other])
    graph = OnnxModel(to_bytes(forest_model(getattr(model, "estimators_", [model]), recorded)))
    native = model.predict_proba(recorded)
    assert np.abs(graph.predict_proba(recorded) - native).max() < 1e-7
    assert np.array_equal(graph.labels(recorded), native.argmax(axis=1))
    # Half of the distance of two recorded values, less the last bit, moves no row.
    moved = recorded + 0.0049 * np.random.default_rng(4).choice([-1, 1], recorded.shape)
    assert np.array_equal(graph.predict_proba(moved), graph.predict_proba(recorded))


def test_thresholds_lie_in_the_middle_between_recorded_values() -> None:
    values = np.array([0.2, 0.1, 0.1, 0.4])
    seen = values**3  # a rescaler that never falls
    stumps = Tree(
        feature=np.array([0, 0, 0, 0, 0, 0]),
        threshold=np.array([0.1**3, 0.2**3 * 1.5, 0.1**3 * 0.5, 0.4**3, 9.0, 9.0]),
        left=np.array([1, 2, 3, 4, -1, -1]),
        right=np.array([5, 5, 5, 5, -1, -1]),
        value=np.zeros(6),
        target=np.zeros(6, dtype=np.int64),
    )
    moved = Cuts([values], [seen]).move(stumps)
    expected = [0.1 + 0.1 / 2, 0.2 + 0.2 / 2, -np.inf, np.inf]
    assert moved.threshold[:4] == pytest.approx(expected, abs=1e-16)
    assert moved.threshold[4:].tolist() == [9.0, 9.0]  # of leaves: nobody compares with them


def test_neighbours_in_the_last_bit_stay_apart() -> None:
    pair = np.array([0.3, np.nextafter(0.3, 1)])
    stump = Tree(
        feature=np.array([0, 0, 0]),
        threshold=np.array([0.3, 0.0, 0.0]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        value=np.array([0.0, 1.0, 2.0]),
        target=np.zeros(3, dtype=np.int64),
    )
    assert pair[0] <= Cuts.of(pair[:, None]).move(stump).threshold[0] < pair[1]


def test_values_that_the_library_cannot_tell_apart_stay_together() -> None:
    pair = np.array([[0.3], [np.nextafter(0.3, 1)], [0.4]])
    tree = DecisionTreeClassifier().fit(pair, [0, 0, 1])
    graph = OnnxModel(to_bytes(forest_model([tree], pair)))
    assert graph.labels(pair).tolist() == [0, 0, 1]
    assert graph.labels(pair[:2] * (1 + 1e-9)).tolist() == [0, 0]


def test_votes_that_tie_stay_a_tie() -> None:
    X = np.array([[-1.0], [1.0]])
    trees = [DecisionTreeClassifier().fit(X, [0, 1]), DecisionTreeClassifier().fit(X, [1, 0])] * 5
    graph = OnnxModel(to_bytes(forest_model(trees, X)))
    assert graph.predict_proba(X).tolist() == [[0.5, 0.5]] * 2
    assert graph.labels(X).tolist() == [0, 0]


def test_float64_thresholds_are_kept() -> None:
    threshold = 0.0565
    stump = Tree(
        feature=np.array([0, 0, 0]),
        threshold=np.array([threshold, 0.0, 0.0]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        value=np.array([0.0, 3.0, 4.0]),
        target=np.array([0, 0, 1]),
    )
    X = np.array([[threshold], [np.nextafter(threshold, 1)]])
    graph = Graph(1)
    at_most = tree_ensemble(graph.features, [stump], targets=2)
    assert result(at_most, X).tolist() == [[3.0, 0.0], [0.0, 4.0]]
    graph = Graph(1)
    at_least = tree_ensemble(graph.features, [stump], targets=2, mode=AT_LEAST)
    assert result(at_least, -X[::-1]).tolist() == [[0.0, 4.0], [0.0, 4.0]]
    assert result(at_least, X).tolist() == [[3.0, 0.0], [3.0, 0.0]]


def test_the_same_forest_gives_the_same_bytes() -> None:
    X = rows(500, 1)
    model = RandomForestClassifier(10, random_state=0).fit(X, labels(X))
    first = to_bytes(forest_model(model.estimators_, X))
    again = RandomForestClassifier(10, random_state=0).fit(X, labels(X))
    assert to_bytes(forest_model(again.estimators_, X)) == first
    other = RandomForestClassifier(10, random_state=1).fit(X, labels(X))
    assert to_bytes(forest_model(other.estimators_, X)) != first


def test_small_constants_are_stored_once() -> None:
    graph = Graph(2)
    value = graph.features
    for _ in range(4):
        value = value * 2.0 + np.ones((1, 2))
    assert len(graph.model(value).graph.initializer) == 2
