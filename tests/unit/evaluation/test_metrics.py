"""Shared statistics, against scikit-learn and SciPy and by their properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as sk

from toolwear.evaluation.metrics import FIGURES, auc, binary_metrics, bootstrap, judge_runs, wilson

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.95, 1.0])),
    min_size=1,
    max_size=60,
)


def _arrays(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    y, p = zip(*rows, strict=True)
    return np.array(y), np.array(p)


@given(st.integers(0, 400), st.integers(1, 400))
def test_wilson_is_scipys_and_contains_the_share(successes: int, n: int) -> None:
    successes = min(successes, n)
    low, high = wilson(successes, n)
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)
    assert 0 <= low <= successes / n <= high <= 1


def test_wilson_of_nothing_is_not_a_number() -> None:
    assert all(math.isnan(end) for end in wilson(0, 0))


@given(ROWS)
def test_figures_are_scikit_learns(rows: list[tuple[int, float]]) -> None:
    y, p = _arrays(rows)
    found, said = binary_metrics(y, p), (p > 0.5).astype(int)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, said))
    assert found["brier"] == pytest.approx(np.mean((p - y) ** 2))
    assert found["log_loss"] == pytest.approx(sk.log_loss(y, p, labels=[0, 1]))
    if said.any() and y.any():
        assert found["precision"] == pytest.approx(sk.precision_score(y, said))
        assert found["recall"] == pytest.approx(sk.recall_score(y, said))
        assert found["f1"] == pytest.approx(sk.f1_score(y, said))
    if 0 < y.sum() < len(y):
        assert found["auc"] == pytest.approx(sk.roc_auc_score(y, p))
        if 0 < said.sum() < len(said):
            assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(y, said))
    else:
        assert math.isnan(found["auc"])


def test_one_class_or_no_rows_give_nan_not_an_error() -> None:
    ones = binary_metrics(np.ones(5, int), np.full(5, 0.9))
    assert ones["accuracy"] == 1
    assert math.isnan(ones["auc"])
    assert math.isnan(ones["mcc"])
    nothing = binary_metrics(np.array([], int), np.array([]))
    assert all(math.isnan(value) for value in nothing.values())
    assert all(math.isnan(end) for end in bootstrap(np.array([], int), np.array([]), 0)["auc"])


@pytest.mark.parametrize("wrong", [math.nan, -0.1, 1.1])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1, and none may be NaN"):
        binary_metrics(np.array([0, 1]), np.array([0.5, wrong]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_bootstrap_intervals_contain_the_figure(seed: int) -> None:
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, 300)
    p = np.clip(0.5 + 0.2 * (2 * y - 1) + generator.normal(0, 0.3, 300), 0, 1)
    found, intervals = binary_metrics(y, p), bootstrap(y, p, seed, replicates=300)
    for name in FIGURES:
        low, high = intervals[name]
        assert low <= found[name] <= high


def test_bootstrap_width_of_the_mean_is_that_of_theory() -> None:
    y = np.repeat([0, 1], 500)
    p = np.where(np.arange(1000) % 5 == 0, 1 - y, y).astype(float)
    low, high = bootstrap(y, p, 0)["accuracy"]
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.8 * 0.2 / 1000), rel=0.12)


def test_bootstrap_over_runs_is_wider_when_rows_of_a_run_are_alike() -> None:
    generator = np.random.default_rng(0)
    run = np.repeat(np.arange(18), 100)
    y = (run % 2).astype(int)
    p = np.clip(y + generator.normal(0, 0.7, 18)[run], 0, 1)
    low, high = bootstrap(y, p, 0)["accuracy"]
    wide = bootstrap(y, p, 0, unit=run)["accuracy"]
    assert wide[1] - wide[0] > 4 * (high - low)
    assert bootstrap(y, p, 0, unit=run) == bootstrap(y, p, 0, unit=run)


def test_a_runs_verdict_is_its_mean_and_one_half_is_none() -> None:
    run = np.array(["01", "01", "02", "02", "03"])
    table = judge_runs(run, np.array([1, 1, 0, 0, 1]), np.array([0.9, 0.3, 0.4, 0.6, 0.2]))
    assert table["verdict"].tolist() == ["worn", None, "unworn"]
    assert table["correct"].tolist() == [True, False, False]
    assert table["n"].tolist() == [2, 2, 1]
    assert auc(table["y"].to_numpy(), table["p"].to_numpy()) == pytest.approx(0.5)
