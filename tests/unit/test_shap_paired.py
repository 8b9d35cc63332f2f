"""SHAP of the serving path: exact where it can be, and the same values as the library's."""

from __future__ import annotations

import numpy as np
import pytest

from components.explain.methods import shap_paired, shap_values
from components.explain.methods.shap_paired import PairedSettings
from components.explain.methods.shap_values import Attributions, ShapSettings
from components.explain.methods.subject import Predict, Subject

SLOPES = np.array([0.10, -0.05, 0.0, 0.02])
NAMES = ("a", "b", "c", "d")
POINTS = np.array([[1.0, 1.0, 1.0, 1.0], [-1.0, 0.5, 2.0, -0.3]])


def linear(rows: np.ndarray) -> np.ndarray:
    return 0.5 + rows @ SLOPES


def three_way(rows: np.ndarray) -> np.ndarray:
    return 0.3 * np.tanh(rows[:, 0] * rows[:, 1] * rows[:, 3]) + 0.5 + 0.1 * (rows[:, 2] > 0)


def subject(predict: Predict, rows: int = 60, seed: int = 0) -> Subject:
    return Subject(predict, np.random.default_rng(7).normal(size=(rows, 4)), NAMES, seed)


def attribute(given: Subject, count: int, rows: np.ndarray = POINTS) -> Attributions:
    worn = given.predict(given.background)
    return shap_paired.attribute(given, rows, worn, PairedSettings(count))


def test_with_the_whole_background_a_linear_function_is_explained_exactly() -> None:
    given = subject(linear)
    found = attribute(given, 60)
    np.testing.assert_allclose(
        found.values, SLOPES * (POINTS - given.background.mean(axis=0)), atol=1e-12
    )
    assert found.additivity_error < 1e-12


@pytest.mark.parametrize("count", [2, 16])
def test_it_adds_up_whatever_the_sample(count: int) -> None:
    assert attribute(subject(three_way), count).additivity_error < 1e-12


def test_it_finds_what_the_library_finds_within_its_own_standard_error() -> None:
    given = subject(three_way)
    wanted = shap_values.attribute(given, POINTS, ShapSettings(60, 200))
    errors = np.array(
        [
            (found.values - wanted.values) / np.maximum(found.standard_error, 1e-9)
            for found in (attribute(subject(three_way, seed=seed), 30) for seed in range(20))
        ]
    )
    assert np.abs(errors.mean(axis=0)).max() < 1, "no bias"
    assert 0.2 < errors.std() < 1.5, "the standard error is of the right size"


def test_it_asks_only_for_what_changes() -> None:
    asked: list[int] = []

    def counted(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return linear(rows)

    given = subject(counted)
    worn = linear(given.background)
    shap_paired.attribute(given, POINTS[:1], worn, PairedSettings(10))
    assert asked == [1, 2 * 10 * 3], "the row, and all steps but the last of 20 walks"
    constant = Subject(counted, np.tile(POINTS[0], (5, 1)), NAMES)
    asked.clear()
    same = shap_paired.attribute(constant, POINTS[:1], np.full(5, worn[0]), PairedSettings(5))
    assert asked == [1]
    np.testing.assert_array_equal(same.values, 0)


def test_a_row_does_not_depend_on_its_neighbours_but_on_the_seed() -> None:
    together = attribute(subject(three_way), 8)
    alone = attribute(subject(three_way), 8, POINTS[1:])
    np.testing.assert_array_equal(together.values[1:], alone.values)
    other = attribute(subject(three_way, seed=1), 8, POINTS[1:])
    assert not np.array_equal(other.values, alone.values)


def test_the_envelope_says_how_far_the_base_value_is_off() -> None:
    given = subject(linear)
    worn = linear(given.background)
    found = shap_paired.explain(given, POINTS, worn, PairedSettings(4))
    assert found["quality"]["base_error"] == abs(found["data"]["base_value"] - worn.mean()) > 0
    assert found["meta"]["settings"] == {"background_rows": 4}
    assert set(found["data"]) == set(shap_values.explain(given, POINTS)["data"])
