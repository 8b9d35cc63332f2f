"""SHAP of the serving path: exact where it can be, and the same values as the library's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given as given_examples
from hypothesis import strategies as st

from toolwear.explain.methods import shap_check, shap_paired
from toolwear.explain.methods.shap_paired import PairedSettings
from toolwear.explain.methods.shap_values import Attributions
from toolwear.explain.methods.subject import Predict, Subject
from toolwear.model.reference import background_places

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


def off(found: Attributions) -> float:
    """Return the largest distance of base plus values from the prediction."""
    return float(np.abs(found.values.sum(axis=1) + found.base - found.predictions).max())


def test_with_the_whole_background_a_linear_function_is_explained_exactly() -> None:
    given = subject(linear)
    found = attribute(given, 60)
    np.testing.assert_allclose(
        found.values, SLOPES * (POINTS - given.background.mean(axis=0)), atol=1e-12
    )
    assert off(found) < 1e-12


@pytest.mark.parametrize("count", [2, 16])
def test_it_adds_up_whatever_the_sample(count: int) -> None:
    assert off(attribute(subject(three_way), count)) < 1e-12


def test_it_finds_the_exact_values_within_its_own_standard_error() -> None:
    given = subject(three_way)
    wanted = shap_check.exact(three_way, given.background, POINTS)
    errors = np.array(
        [
            (found.values - wanted) / np.maximum(found.standard_error, 1e-9)
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
    assert set(found["data"]) == {"base_value", "rows"}


def test_exact_values_know_constant_columns_and_values_near_1e_19() -> None:
    draw = np.random.default_rng(0)
    background = np.column_stack(
        [draw.choice([0.0, 3.2e-19], 200), np.full(200, 4.0), draw.normal(size=200)]
    )

    def splits_on_tiny(rows: np.ndarray) -> np.ndarray:
        return 0.2 + 0.5 * (rows[:, 0] > 1e-19) + 0.1 * (rows[:, 2] > 0) * (rows[:, 0] > 1e-19)

    rows = np.array([[3.2e-19, 4.0, 1.0], [0.0, 4.0, -1.0]])
    found = shap_check.exact(splits_on_tiny, background, rows)
    base = splits_on_tiny(background).mean()
    np.testing.assert_allclose(found.sum(axis=1) + base, splits_on_tiny(rows), atol=1e-12)
    assert abs(found[0, 0]) > 0.2
    np.testing.assert_array_equal(found[:, 1], 0)


# --- checks that a wrong attribution does not pass ------------------------------------------------


def checked(values: np.ndarray, given: Subject, **settings: int) -> dict[str, Any]:
    sizes = shap_check.CheckSettings(**settings)
    return shap_check.quality(given, POINTS, values, 60, sizes)


def test_right_values_pass_and_the_same_values_of_other_features_do_not() -> None:
    given = subject(three_way)
    right = shap_paired.over_all(given, POINTS).values
    good = checked(right, given)
    assert good["reference"] == "all coalitions"
    assert good["exact_error"] < 0.2
    assert good["deletion_top"] > good["deletion_random"]
    # They add up as well as the right ones do.
    wrong = checked(np.roll(right, 1, axis=1), given)
    assert wrong["exact_error"] > max(0.4, 3 * good["exact_error"])
    assert wrong["deletion_top"] < good["deletion_top"]


def test_with_many_features_repeats_stand_in_for_all_coalitions() -> None:
    given = subject(three_way)
    right = shap_paired.over_all(given, POINTS).values
    found = checked(right, given, exact_features=3, walks=40)
    assert found["reference"] == "40 repeats"
    exact = checked(right, given)["exact_error"]
    assert found["exact_error"] == pytest.approx(exact, abs=0.08)


def test_the_spread_of_the_base_value_is_that_of_redrawn_backgrounds() -> None:
    given = subject(linear, rows=600)
    found = checked(shap_paired.over_all(given.drawn(60), POINTS).values, given)
    worn = linear(given.background)
    expected = worn.std() / np.sqrt(60) * np.sqrt(1 - 60 / 600)
    assert found["base_sd"] == pytest.approx(expected, rel=0.2)
    assert found["base_population"] == pytest.approx(worn.mean())
    assert found["background_error"] > 0


def test_a_model_that_does_not_move_has_no_error_and_no_gain() -> None:
    given = subject(lambda rows: np.full(len(rows), 0.4))
    found = checked(np.zeros((2, 4)), given)
    assert found["exact_error"] == 0
    assert max(found["deletion_top"], found["deletion_random"]) < 1e-12


# --- the background -------------------------------------------------------------------------------


def test_every_run_is_in_the_background_in_proportion() -> None:
    run = np.repeat(["01", "02", "03", "04"], [5000, 3000, 1990, 10])
    chosen = background_places(run, 200, seed=0)
    counts = dict(zip(*np.unique(run[chosen], return_counts=True), strict=True))
    assert (len(chosen), len(set(chosen.tolist()))) == (200, 200)
    assert counts["04"] == 1
    for name, size in (("01", 5000), ("02", 3000), ("03", 1990)):
        assert abs(counts[name] - 200 * size / 10_000) <= 1
    assert not np.array_equal(chosen, background_places(run, 200, seed=1))


@given_examples(
    st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 80), st.integers(0, 3)
)
def test_a_background_has_the_size_that_is_asked_for(
    sizes: list[int], count: int, seed: int
) -> None:
    run = np.repeat(np.arange(len(sizes)), sizes)
    chosen = background_places(run, count, seed)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, len(run))
    if count >= len(sizes):
        assert set(run[chosen].tolist()) == set(range(len(sizes)))


def test_the_base_value_spreads_less_where_every_run_is_represented() -> None:
    run = np.repeat([f"{i:02d}" for i in range(18)], 100)
    worn = np.repeat(np.random.default_rng(0).uniform(size=18), 100)
    rows = np.column_stack([worn, np.zeros(len(worn))])
    whole = Subject(lambda asked: asked[:, 0], rows, ("a", "b"))
    strata = Subject(lambda asked: asked[:, 0], rows, ("a", "b"), run=run)
    spreads = [
        np.std([worn[one.places(50, seed)].mean() for seed in range(100)])
        for one in (whole, strata)
    ]
    assert spreads[1] < spreads[0] / 3
