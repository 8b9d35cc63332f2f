"""Each method on functions whose explanation is known beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.explain.methods import anchor_rule, ice_pdp, lime_local, shap_paired, surrogate_tree
from toolwear.explain.methods.subject import Envelope, Predict, Subject, seeded, wilson

SLOPES = np.array([0.10, -0.05, 0.0, 0.02])
NAMES = ("a", "b", "c", "d")


def linear(rows: np.ndarray) -> np.ndarray:
    return 0.5 + rows @ SLOPES


def rule(rows: np.ndarray) -> np.ndarray:
    return np.where((rows[:, 0] > 0.5) & (rows[:, 1] <= 0), 0.95, 0.05)


def noise(rows: np.ndarray) -> np.ndarray:
    """A function of the rows that no smooth model follows."""
    return np.modf(np.abs(np.sin(rows @ np.array([12.9898, 78.233, 37.7, 11.1])) * 43758.5453))[0]


def generator_state() -> str:
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002


def subject(predict: Predict = linear, rows: int = 600, seed: int = 0) -> Subject:
    background = np.random.default_rng(7).normal(size=(rows, len(NAMES)))
    return Subject(predict, background, NAMES, seed)


POINTS = np.array([[1.0, 1.0, 1.0, 1.0], [-1.0, 0.5, 2.0, -0.3]])

METHODS: dict[str, Callable[[Subject], Envelope]] = {
    "shap": lambda s: shap_paired.explain(s, POINTS, s.predict(s.background)),
    "lime": lambda s: lime_local.explain(s, POINTS),
    "anchor": lambda s: anchor_rule.explain(s, POINTS),
    "ice": lambda s: ice_pdp.explain(s, POINTS)[0],
    "pdp": lambda s: ice_pdp.explain(s, POINTS)[1],
    "surrogate": lambda s: surrogate_tree.explain(s),
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_repeats_itself_and_answers_in_the_one_envelope(method: str) -> None:
    np.random.seed(1)  # noqa: NPY002
    first = METHODS[method](subject(rule))
    np.random.seed(2)  # noqa: NPY002
    before = generator_state()
    second = METHODS[method](subject(rule))
    assert generator_state() == before
    assert first == second
    assert set(first) == {"meta", "data", "quality"}
    assert first["meta"]["method"] == method
    assert first["meta"]["seed"] == 0
    assert first["meta"]["features"] == list(NAMES)
    assert first["meta"]["version"]
    # Plain values: what is written is what was returned.
    settings = first["meta"]["settings"]
    first["meta"]["settings"] = {key: jsonfile.clean(value) for key, value in settings.items()}
    assert json.loads(json.dumps(first)) == first


def test_lime_finds_signs_and_slopes_of_a_linear_function() -> None:
    found = lime_local.explain(subject(), POINTS)
    row = found["data"]["rows"][0]
    spread = subject().background.std(axis=0)
    np.testing.assert_allclose(row["weights"], SLOPES * spread, atol=5e-3)
    assert np.sign(row["contributions"])[[0, 1, 3]].tolist() == [1, -1, 1]
    assert found["quality"]["r2_min"] > 0.99
    assert found["quality"]["gap_max"] < 0.01
    assert found["quality"]["faithful"] == found["quality"]["rows"] == 2


def test_lime_quality_falls_on_a_function_that_is_noise() -> None:
    found = lime_local.explain(subject(noise), POINTS)
    assert found["quality"]["r2_median"] < 0.1
    assert found["quality"]["rank_correlation_mean"] < 0.9
    assert found["quality"]["faithful"] == 0


def test_lime_holds_a_constant_column_still() -> None:
    background = np.random.default_rng(0).normal(size=(300, 2))
    background[:, 1] = 5.0

    def breaks_off_the_constant(rows: np.ndarray) -> np.ndarray:
        return np.where(rows[:, 1] == 5.0, 0.5 + 0.1 * rows[:, 0], 0.0)

    given = Subject(breaks_off_the_constant, background, ("wide", "constant"))
    found = lime_local.explain(given, np.array([[0.3, 5.0]]))
    assert found["quality"]["r2_min"] > 0.99
    assert found["data"]["rows"][0]["weights"][1] == 0


def test_stability_is_one_for_the_same_fit_and_low_for_opposite_ones() -> None:
    weights = np.arange(1.0, 11.0)
    assert lime_local.stability(np.array([weights, weights])) == (1.0, 1.0)
    jaccard, rank = lime_local.stability(np.array([weights, weights[::-1]]))
    assert jaccard == 0
    assert rank == pytest.approx(-1)


def test_anchor_finds_a_planted_rule() -> None:
    background = np.random.default_rng(3).uniform(-1, 1, size=(2000, 4))
    held_out = np.random.default_rng(4).uniform(-1, 1, size=(1000, 4))

    def planted(rows: np.ndarray) -> np.ndarray:
        return (rows[:, 0] > 0.5).astype(float)

    found = anchor_rule.explain(
        Subject(planted, background, NAMES), np.array([[0.9, 0.1, 0.1, 0.1]]), held_out
    )
    (row,) = found["data"]["rows"]
    assert [term["feature"] for term in row["rule"]] == ["a"]
    edges = np.percentile(background[:, 0], anchor_rule.DEFAULT.percentiles)
    assert row["rule"][0]["lower"] in edges
    assert row["rule"][0]["lower"] > 0.5
    assert row["text"].startswith("a > 0.")
    assert row["precision"] > 0.98
    assert row["coverage"] == pytest.approx((held_out[:, 0] > row["rule"][0]["lower"]).mean())
    assert row["held_out"]["covered"] == round(row["coverage"] * 1000)
    assert row["interval"][0] < row["precision"] <= row["interval"][1]
    assert row["meets_threshold"] is True
    assert found["quality"]["meets_threshold"] == 1


def test_anchor_bounds_are_exact_where_two_decimals_would_read_zero() -> None:
    background = np.random.default_rng(3).uniform(-1, 1, size=(2000, 2)) * [1e-6, 1]

    def planted(rows: np.ndarray) -> np.ndarray:
        return (rows[:, 0] > 0.5e-6).astype(float)

    found = anchor_rule.explain(
        Subject(planted, background, ("tiny", "wide")), np.array([[0.9e-6, 0.0]])
    )
    (row,) = found["data"]["rows"]
    assert row["rule"][0]["feature"] == "tiny"
    assert 0.4e-6 < row["rule"][0]["lower"] < 1e-6
    assert "e-07" in row["text"]


def test_an_anchor_that_needs_no_condition_says_always() -> None:
    def nearly_constant(rows: np.ndarray) -> np.ndarray:
        return np.where(rows[:, 0] > 5, 1.0, 0.0)

    found = anchor_rule.explain(subject(nearly_constant), POINTS[:1])
    (row,) = found["data"]["rows"]
    assert (row["rule"], row["text"], row["coverage"]) == ([], "always", 1.0)
    assert row["precision"] == 1.0


def test_a_term_that_every_row_keeps_is_left_out() -> None:
    rows = np.array([[1.0, 3.0], [2.0, 50.0]])
    vacuous, real = anchor_rule.Term(1, None, 50.0), anchor_rule.Term(0, 1.0, None)
    assert anchor_rule.told_terms([vacuous, real], rows) == [real]


def test_a_rule_for_noise_misses_the_threshold() -> None:
    found = anchor_rule.explain(subject(noise), POINTS[:1])
    assert found["quality"]["meets_threshold"] == 0
    assert found["quality"]["precision_min"] < 0.75


def test_a_rule_is_measured_on_rows_that_keep_it() -> None:
    given = subject(rule)
    rows = np.array([[1.0, -1.0, 0, 0], [1.0, 1.0, 0, 0], [0.0, -1.0, 0, 0], [0.7, -0.2, 0, 0]])
    terms = [anchor_rule.Term(0, 0.5, None), anchor_rule.Term(1, None, 0.0)]
    labels = (given.predict(rows) > 0.5).astype(int)
    found = anchor_rule.measure(given, rows[0], terms, rows, labels)
    assert found["coverage"] == 0.5
    assert found["held_out"]["precision"] == found["precision"] == 1.0
    loose = anchor_rule.measure(given, rows[0], terms[:1], rows, labels)
    assert loose["held_out"]["precision"] == pytest.approx(2 / 3)
    nowhere = anchor_rule.measure(given, rows[0], [anchor_rule.Term(0, 9.0, None)], rows, labels)
    assert (nowhere["coverage"], nowhere["held_out"]["precision"]) == (0.0, None)


def test_pdp_is_that_of_scikit_learn_on_its_own_model() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.inspection import partial_dependence

    X = subject().background
    forest = RandomForestClassifier(20, random_state=0).fit(X, rule(X) > 0.5)
    given = Subject(lambda rows: forest.predict_proba(rows)[:, 1], X, NAMES)
    settings = ice_pdp.CurveSettings(rows=len(X), points=10)
    ice, pdp = ice_pdp.explain(given, POINTS, settings)
    for j, name in enumerate(NAMES):
        ours = pdp["data"]["curves"][name]
        theirs = partial_dependence(
            forest,
            X,
            [j],
            custom_values={j: np.array(ours["grid"])},
            method="brute",
            response_method="predict_proba",
        )
        np.testing.assert_array_equal(ours["mean"], theirs["average"][0])
    assert pdp["quality"]["halves_gap"] == ice["quality"]["halves_gap"] > 0
    assert pdp["quality"]["grid_points"] == 10
    assert pdp["quality"]["background_share"] == 1.0
    assert np.shape(ice["data"]["curves"]["a"]["rows"]) == (2, 10)


def test_pdp_of_a_linear_function_is_straight_and_has_no_interaction() -> None:
    ice, pdp = ice_pdp.explain(subject(), POINTS)
    for j, name in enumerate(NAMES):
        curve = pdp["data"]["curves"][name]
        assert curve["swing"] == pytest.approx(abs(SLOPES[j]) * np.ptp(curve["grid"]))
        assert curve["turns"] == 0
        assert ice["data"]["curves"][name]["interaction"] == pytest.approx(0, abs=1e-12)


def test_grid_of_a_constant_or_discrete_feature_has_its_values_only() -> None:
    assert ice_pdp.feature_grid(np.full(50, 3.0), 30).tolist() == [3.0]
    assert ice_pdp.feature_grid(np.array([1.0, 1.0, 2.0, 4.0] * 9), 30).tolist() == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("curve", "expected"),
    [([0, 1], 0), ([0, 1, 0], 1), ([1, 0, 1, 0], 2), ([0, 0.05, 0, 0.05], 0), ([0.5], 0)],
)
def test_turns_counts_changes_of_direction(curve: list[float], expected: int) -> None:
    assert ice_pdp.turns(np.array(curve)) == expected


def test_surrogate_of_a_tree_shaped_function_is_faithful() -> None:
    found = surrogate_tree.explain(subject(rule, rows=4000))
    quality = found["quality"]
    assert quality["fidelity"] > 0.995
    assert quality["r2"] > 0.98
    assert quality["interval"][0] < quality["fidelity"] <= quality["interval"][1]
    assert quality["rows"] == 2000
    assert quality["leaves"] <= surrogate_tree.DEFAULT.max_leaves
    root = found["data"]["nodes"][0]
    assert root["feature"] in {"a", "b"}
    assert found["data"]["fidelity_by_feature"]["a"] > found["data"]["fidelity_by_feature"]["c"]


def test_surrogate_of_an_exact_split_has_fidelity_one() -> None:
    X = np.random.default_rng(0).integers(0, 4, size=(2000, 2)).astype(float)
    found = surrogate_tree.explain(
        Subject(lambda rows: (rows[:, 0] >= 2) * 0.8 + 0.1, X, ("a", "b"))
    )
    assert (found["quality"]["fidelity"], found["quality"]["r2"]) == (1.0, 1.0)
    assert (found["quality"]["depth"], found["quality"]["leaves"]) == (1, 2)


def test_surrogate_quality_falls_on_noise() -> None:
    quality = surrogate_tree.explain(subject(noise, rows=2000))["quality"]
    assert quality["r2"] < 0.1
    assert quality["fidelity"] < 0.6


def test_surrogate_of_a_constant_model_has_no_r2() -> None:
    quality = surrogate_tree.explain(subject(lambda rows: np.full(len(rows), 0.3)))["quality"]
    assert quality["r2"] is None
    assert quality["fidelity"] == quality["one_label"] == 1.0


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (np.zeros((1, 3)), r"the shape \(1, 3\), but the model has 4 features"),
        (np.zeros(4), r"the shape \(4,\)"),
        (np.zeros((0, 4)), "no rows to explain"),
        (np.array([[0, np.nan, 0, 0]]), "missing or infinite b; give finite numbers"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_a_sentence(rows: np.ndarray, sentence: str) -> None:
    with pytest.raises(ToolwearError, match=sentence):
        lime_local.explain(subject(), rows)


def test_a_subject_that_does_not_fit_is_refused_with_a_sentence() -> None:
    with pytest.raises(ToolwearError, match="at least 2 background rows, not 1"):
        Subject(linear, np.zeros((1, 4)), NAMES)
    with pytest.raises(ToolwearError, match="feature names repeat"):
        Subject(linear, np.zeros((5, 4)), ("a", "a", "b", "c"))
    with pytest.raises(ToolwearError, match="background have the shape"):
        Subject(linear, np.zeros((5, 3)), NAMES)


def test_the_global_generator_is_put_back_even_after_a_failure() -> None:
    before = generator_state()

    def fail() -> None:
        with seeded(3):
            np.random.random()  # noqa: NPY002
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert generator_state() == before


def test_wilson_interval_has_the_published_value() -> None:
    low, high = wilson(8, 10) or []
    assert low == pytest.approx(0.4902, abs=1e-4)
    assert high == pytest.approx(0.9433, abs=1e-4)
    assert wilson(0, 0) is None
