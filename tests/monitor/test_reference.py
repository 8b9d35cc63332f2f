"""The reference in the package: what it remembers, and what it admits not to know."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.mill import (
    FEATURE_SETS,
    MADE,
    MILL,
    SESSION_COLUMNS,
)
from tests.monitor.conftest import Mill
from toolwear.common.thresholds import thresholds
from toolwear.model.drift import Histogram, Reference, Span, confidence, moved
from toolwear.model.package import DRIFT_FILE


def test_psi_is_nothing_for_equal_shares_and_what_the_formula_says_otherwise() -> None:
    histogram = Histogram(edges=(1.0, 2.0), shares=(0.25, 0.5, 0.25))
    assert histogram.psi(np.array([25, 50, 25])) == 0
    expected = 0.25 * np.log(0.5 / 0.25) + 0 + (0 - 0.25 + 1e-4) * np.log(1e-4 / 0.25)
    assert histogram.psi(np.array([50, 50, 0])) == pytest.approx(expected, rel=1e-9)
    # A value at an edge belongs above it.
    assert histogram.counts(np.array([0.0, 1.0, 1.5, 2.0, 9.0])).tolist() == [1, 2, 2]


def test_a_histogram_has_as_many_values_in_each_bin() -> None:
    histogram = Histogram.of(np.arange(1000.0))
    assert len(histogram.edges) == 9
    assert histogram.shares == pytest.approx([0.1] * 10)
    assert Histogram.of(np.zeros(50)).shares == (0.0, 1.0), "a constant has one edge"


def test_small_figures() -> None:
    assert confidence(np.array([0.1, 0.5, 0.8])).tolist() == [0.9, 0.5, 0.8]
    assert moved({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 0.0}) == 0.5
    span = Span(low=1.0, high=3.0, spread=0.5)
    assert [span.beyond(mean) for mean in (0.0, 1.0, 2.0, 5.0)] == [0.5, 0.0, 0.0, 1.0]
    assert Span(low=1.0, high=1.0, spread=4.0).beyond(3.0) == 0.5


def test_every_feature_is_load_session_or_setting() -> None:
    for chosen in FEATURE_SETS.values():
        load = MADE.load_columns(chosen.columns)
        assert set(load) | set(SESSION_COLUMNS) | {*MILL.settings, "M1_CURRENT_FEEDRATE"} >= set(
            chosen.columns
        )
        assert load, "a set without a load signal cannot be watched for data drift"


def test_the_reference_knows_its_regimes_and_which_of_them_it_cannot_judge(mill: Mill) -> None:
    reference = Reference.from_bytes(mill.package.contents[DRIFT_FILE])
    assert reference.to_bytes() == mill.package.contents[DRIFT_FILE]
    assert set(reference.regimes) == {"3", "6", "12", "15", "20"}
    assert reference.regimes["3"].runs == ("11", "12", "13", "14", "17", "18")
    calibrated = {name for name, regime in reference.regimes.items() if regime.calibrated}
    assert calibrated == {"3", "6", "20"}, "one run cannot tell how far runs differ"
    assert set(reference.regimes["3"].signals) == {
        "X1_DCBusVoltage",
        "X1_OutputVoltage",
        "Y1_DCBusVoltage",
        "Y1_OutputVoltage",
    }
    assert len(reference.regimes["3"].windows) == 18
    assert not reference.regimes["12"].windows
    for regime in reference.regimes.values():
        assert sum(regime.attribution.values()) == pytest.approx(1)


def test_healthy_runs_left_out_stand_below_the_thresholds(mill: Mill) -> None:
    """The null: each run against the others of its feed rate, 25 windows of 14 runs."""
    reference = Reference.from_bytes(mill.package.contents[DRIFT_FILE])
    limits = thresholds().monitor
    windows = [window for regime in reference.regimes.values() for window in regime.windows]
    assert len({window.run for window in windows}) == 14 - 1  # run 04 and 05 are too short
    assert max(window.mean_psi for window in windows) < limits.mean_psi
    assert max(window.max_psi for window in windows) < limits.max_psi
    assert 0 < max(window.session for window in windows) < limits.session_excess


def test_a_reference_from_before_sessions_were_measured_can_be_read(mill: Mill) -> None:
    reference = Reference.from_bytes(mill.package.contents[DRIFT_FILE])
    value = json.loads(reference.to_bytes())
    for regime in value["regimes"].values():
        for window in regime["windows"]:
            del window["session"]
    before = Reference.from_bytes(json.dumps(value).encode())
    assert reference.worst("session") > before.worst("session") == 0
