"""Bands, envelopes, figures and sentences of the evaluation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from components.evaluate import band, figures
from components.evaluate.kubeflow import roc_points
from components.evaluate.plots import confusion_counts
from toolwear.dataset import schema
from toolwear.dataset.contract import default
from toolwear.evaluation.metrics import wilson
from toolwear.model.abstention import Abstention


def _answers(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated answers: what is said with probability p is so with probability p."""
    generator = np.random.default_rng(seed)
    p = generator.beta(0.05, 0.05, n).round(4)
    return (generator.uniform(size=n) < p).astype(int), p


def test_the_band_reaches_its_target_on_new_rows() -> None:
    chosen = band.choose_band(*_answers(20_000), 0.99)
    assert chosen["reached"]
    assert chosen["low"] <= 0.5 <= chosen["high"]
    assert chosen["lower_bound"] >= 0.99
    y, p = _answers(20_000, seed=1)
    answered = (p <= chosen["low"]) | (p >= chosen["high"])
    assert ((p > 0.5) == y)[answered].mean() >= 0.99
    assert ((p > 0.5) == y).mean() < 0.99  # without it the target is missed


def test_a_harder_target_widens_the_band() -> None:
    y, p = _answers(20_000)
    widths = []
    for target in (0.95, 0.98, 0.99):
        chosen = band.choose_band(y, p, target)
        widths.append(chosen["high"] - chosen["low"])
    assert widths == sorted(widths)
    assert widths[-1] > widths[0]


def test_a_perfect_model_answers_everything() -> None:
    y = np.tile([0, 1], 3000)
    chosen = band.choose_band(y, y.astype(float), 0.999)
    assert (chosen["low"], chosen["high"], chosen["coverage"]) == (0.5, 0.5, 1.0)


@pytest.mark.parametrize("n", [0, 20])
def test_too_few_rows_never_reach_the_target(n: int) -> None:
    y = np.tile([0, 1], n // 2)
    chosen = band.choose_band(y, y.astype(float), 0.999)
    assert not chosen["reached"]
    assert chosen["n"] == n


def test_the_rule_refuses_what_lies_outside_of_training() -> None:
    training = np.array([[0.0, 10.0], [1.0, 20.0]])
    bounds = band.envelope(training, ["a", "b"], 0.0)
    assert bounds == {"a": [0.0, 1.0], "b": [10.0, 20.0]}
    rule = Abstention.of(["a", "b"], {"low": 0.2, "high": 0.8}, bounds)
    X = np.array([[0.5, 15.0], [0.5, 25.0], [0.5, 15.0], [0.5, 15.0]])
    found = band.on_test(rule, X, np.array([1, 1, 0, 0]), np.array([0.9, 0.9, 0.5, 0.9]))
    assert (found["answered"], found["in_band"], found["outside_envelope"]) == (2, 1, 1)
    assert found["accuracy"] == 0.5


def test_coverage_falls_as_the_band_widens() -> None:
    curve = band.coverage_curve(*_answers(3000))
    shares = [point["coverage"] for point in curve]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)


def _rows(p: list[float], y: list[int], run: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"p": p, "y": y, schema.RUN_ID: run, "model": "logistic", "feature_set": "response"}
    )


def test_runs_are_the_unit_when_runs_are_left_out() -> None:
    rows = _rows(
        [0.9] * 90 + [0.4] * 5 + [0.1] * 5,
        [1] * 95 + [0] * 5,
        ["01"] * 90 + ["02"] * 5 + ["03"] * 5,
    )
    found = figures.held_out(rows, {"01": "3/4", "02": "3/4", "03": "6/4"}, 4, seed=0)
    assert (found["unit"], found["n"]) == ("runs", 3)
    assert found["runs"]["correct"] == 2
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["interval"]["accuracy"] == wilson(2, 3)
    assert found["rows"]["accuracy"] == 0.95
    assert [item["verdict"] for item in found["per_run"]] == ["worn", "unworn", "unworn"]
    assert found["runs"]["there_are"] == 4


def test_known_runs_have_an_interval_around_each_figure() -> None:
    y, p = _answers(500)
    rows = _rows(p.tolist(), y.tolist(), ["01"] * 500)
    found = figures.known_runs(rows, 0, default().published)
    for name in ("accuracy", "precision", "recall", "f1", "mcc", "auc", "log_loss", "brier"):
        low, high = found["interval"][name]
        assert low <= found[name] <= high
    assert found["published"] is None  # another feature set
    assert found["errors"] == round(500 * (1 - found["accuracy"]))


def test_a_calibrated_model_has_a_small_error_and_a_shifted_one_has_its_shift() -> None:
    y, p = _answers(20_000)
    assert figures.reliability(y, p)["ece"] < 0.01
    always = figures.reliability(np.tile([0, 1], 50), np.full(100, 0.8))
    assert always["ece"] == pytest.approx(0.3)
    assert [item["n"] for item in always["bins"]] == [100]


def test_roc_points_are_finite_and_few() -> None:
    y, p = _answers(5000)
    false, true, threshold = roc_points(y, p)
    assert len(false) == len(true) == len(threshold) <= 100
    assert max(threshold) <= 1
    assert (false[0], true[-1]) == (0, 1)
    assert confusion_counts(np.array([0, 0, 1]), np.array([0.5, 0.6, 0.7])).tolist() == [
        [1, 1],
        [0, 1],
    ]
