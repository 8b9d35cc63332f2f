"""Windows, the feature function and the feature sets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.cnc_mill import names as mill
from tests.mill import (
    FEATURE_COLUMNS,
    FEATURE_SETS,
    INPUT_COLUMNS,
    KEY_COLUMNS,
    MILL,
    PUBLISHED_COLUMNS,
    WINDOW_COLUMNS,
)
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.features import windows
from toolwear.features.compute import compute
from toolwear.features.logic import Run, check_parameters, newest, samples

STATED = {"feedrate": 6.0, "clamp_pressure": 2.5}
WINDOW = 20


def telemetry_rows(n: int, seed: int = 0) -> pd.DataFrame:
    """Return noise in which about two rows of three are cutting, in streaks."""
    draw = np.random.default_rng(seed)
    rows = pd.DataFrame({column: draw.normal(size=n) for column in INPUT_COLUMNS})
    rows["Z1_ActualPosition"] = np.where(draw.normal(size=n).cumsum() > 0, 29.5, 119.0)
    rows["Z1_ActualPosition"] = np.where(np.arange(n) % 37 < 25, 29.5, rows["Z1_ActualPosition"])
    rows["S1_ActualVelocity"] = 53.3 + 0.1 * draw.normal(size=n)
    rows["X1_ActualPosition"] = 150.0
    rows[mill.CURRENT_FEEDRATE] = 6.0
    rows[schema.RUN_ID] = "01"
    rows[schema.ROW] = rows[schema.TIME_INDEX] = np.arange(n)
    rows[mill.PHASE] = mill.ACTIVE_PHASES[0]
    rows[schema.EVENT_TIME] = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(
        np.arange(n) * 100, unit="ms"
    )
    return rows


@settings(max_examples=30, deadline=None)
@given(window=st.integers(2, 40), extra=st.integers(0, 30), seed=st.integers(0, 99))
def test_windows_are_what_numpy_says(window: int, extra: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    x = 100 + draw.normal(size=(2, window + extra))
    adjacent = draw.random(window + extra) < 0.8
    mean, std = windows.trailing_mean(x, window), windows.trailing_std(x, window)
    mad = windows.trailing_mean_difference(x, adjacent, window)
    alias = windows.trailing_alias_amplitude(x, window, 3)
    assert mean.shape == std.shape == mad.shape == alias.shape == (2, extra + 1)
    turn = np.exp(-2j * np.pi * np.arange(window) / 3)
    for i in range(extra + 1):
        part, follows = x[:, i : i + window], adjacent[i + 1 : i + window]
        np.testing.assert_allclose(mean[:, i], part.mean(axis=1), rtol=1e-9)
        np.testing.assert_allclose(std[:, i], part.std(axis=1, ddof=1), rtol=1e-9)
        differences = np.abs(np.diff(part, axis=1))[:, follows]
        expected = differences.mean(axis=1) if follows.any() else [np.nan, np.nan]
        np.testing.assert_allclose(mad[:, i], expected, rtol=1e-9)
        centred = part - part.mean(axis=1, keepdims=True)
        bin_of_three = 2 / window * np.abs(centred @ turn)
        np.testing.assert_allclose(alias[:, i], bin_of_three, rtol=1e-7, atol=1e-9)


def test_the_alias_amplitude_is_that_of_a_sine_of_period_three() -> None:
    sine = 7 + 2.5 * np.cos(2 * np.pi * np.arange(90) / 3 + 0.4)
    np.testing.assert_allclose(windows.trailing_alias_amplitude(sine[np.newaxis], 30, 3), 2.5)


def test_a_steady_signal_varies_by_nothing() -> None:
    assert (windows.trailing_std(np.full((1, 60), 117.3), 50) == 0).all()


def test_the_tail_that_serving_holds_gives_the_same_bits() -> None:
    rows = telemetry_rows(400)
    whole = compute(rows, WINDOW, MILL)
    checked = 0
    for end in range(100, 400, 7):
        cutting = np.flatnonzero(whole[schema.IS_CUTTING].to_numpy()[: end + 1])
        tail = rows.iloc[cutting[-WINDOW] : end + 1]
        last = compute(tail, WINDOW, MILL).iloc[-1]
        assert last.equals(whole.iloc[end])
        checked += int(whole[schema.IS_CUTTING].iloc[end])
    assert checked > 20


def test_later_rows_change_no_earlier_feature() -> None:
    rows = telemetry_rows(300)
    before = compute(rows, WINDOW, MILL).iloc[:200]
    changed = rows.copy()
    changed.loc[200:, "S1_ActualAcceleration"] = 1e6
    pd.testing.assert_frame_equal(
        compute(changed, WINDOW, MILL).iloc[:200], before, check_exact=True
    )


def test_window_features_stand_on_cutting_rows_with_a_full_window_only() -> None:
    found = compute(telemetry_rows(300), WINDOW, MILL)
    full = found[schema.IS_CUTTING] & (found[schema.IS_CUTTING].cumsum() >= WINDOW)
    assert 100 < full.sum() < 290
    complete = found[list(WINDOW_COLUMNS)].notna()
    assert complete[full].all(axis=None)
    assert not complete[~full].any(axis=None)


def test_published_features_are_the_columns_as_they_stand() -> None:
    rows = telemetry_rows(30)
    found = compute(rows, WINDOW, MILL)
    pd.testing.assert_frame_equal(
        found[list(PUBLISHED_COLUMNS)], rows[list(PUBLISHED_COLUMNS)], check_exact=True
    )


def test_a_missing_column_is_named() -> None:
    rows = telemetry_rows(30).drop(columns="S1_OutputPower")
    with pytest.raises(ToolwearError, match="lacks the column 'S1_OutputPower'"):
        compute(rows, WINDOW, MILL)


def chunks(rows: pd.DataFrame, size: int) -> Iterator[pd.DataFrame]:
    return (rows.iloc[i : i + size].reset_index(drop=True) for i in range(0, len(rows), size))


@pytest.mark.parametrize("size", [1, 19, 20, 21, 150])
def test_chunks_make_no_difference(size: int) -> None:
    rows = telemetry_rows(120)
    run = Run("01", 120, STATED, 1)
    (whole,) = samples([rows], run, WINDOW, stride=5, dataset=MILL)
    chunked = pd.concat(
        samples(chunks(rows, size), run, WINDOW, stride=5, dataset=MILL), ignore_index=True
    )
    pd.testing.assert_frame_equal(chunked, whole, check_exact=True)


def test_samples_carry_their_keys_and_every_stride_th_window() -> None:
    (found,) = samples(
        [telemetry_rows(300)], Run("01", 300, STATED, 1), WINDOW, stride=5, dataset=MILL
    )
    assert list(found.columns[: len(KEY_COLUMNS)]) == list(KEY_COLUMNS)
    assert set(found.columns) == {*KEY_COLUMNS, *FEATURE_COLUMNS}
    assert found[schema.SAMPLE_ID].iloc[7] == schema.sample_id("01", 7)
    assert set(found[schema.SETTING]) == {"6/2.5"}
    assert set(found[schema.LABEL]) == {1}
    ordinal = found.loc[found[schema.IS_CUTTING], schema.IS_WINDOW].to_numpy().nonzero()[0]
    np.testing.assert_array_equal(ordinal, np.arange(WINDOW - 1, ordinal[-1] + 1, 5))
    assert not found.loc[~found[schema.IS_CUTTING], schema.IS_WINDOW].any()


def test_the_newest_row_to_serve_has_a_full_window_if_there_is_one() -> None:
    rows = telemetry_rows(100)
    rows.loc[90:, "Z1_ActualPosition"] = 119.0  # back home
    (found,) = samples([rows], Run("01", 100, STATED, 1), WINDOW, stride=5, dataset=MILL)
    last_cutting = int(np.flatnonzero(found[schema.IS_CUTTING])[-1])
    assert newest(found, None, MILL)[schema.ROW].tolist() == [last_cutting]
    assert newest(found.iloc[50:], newest(found.iloc[:50], None, MILL), MILL)[
        schema.ROW
    ].tolist() == [last_cutting]
    (short,) = samples([rows], Run("01", 100, STATED, 1), window=99, stride=5, dataset=MILL)
    assert newest(short, None, MILL)[schema.ROW].tolist() == [last_cutting]


def test_the_published_set_is_the_published_one() -> None:
    published = FEATURE_SETS[schema.PUBLISHED]
    assert len(published.columns) == 12
    assert published.samples_column == schema.IS_ACTIVE
    without = set(published.columns) - set(FEATURE_SETS["published_without_position"].columns)
    assert without == {"Z1_ActualPosition"}


@pytest.mark.parametrize("name", [schema.RESPONSE, "ripple"])
def test_sets_for_unseen_runs_hold_nothing_that_names_the_run(name: str) -> None:
    chosen = FEATURE_SETS[name]
    assert chosen.samples_column == schema.IS_WINDOW
    telltales = ("Position", "Command", "OutputCurrent", "sequence", "PROGRAM", "FEEDRATE", "clamp")
    assert not [c for c in chosen.columns if any(word in c for word in telltales)]
    assert not [c for c in chosen.columns if c.endswith(("_mean", "_max"))]  # levels drift


def test_features_come_from_columns_that_the_schema_knows() -> None:
    assert set(INPUT_COLUMNS) <= {*mill.NUMERIC_COLUMNS, mill.CLAMP_PRESSURE}
    assert len(set(FEATURE_COLUMNS)) == len(FEATURE_COLUMNS)
    for chosen in FEATURE_SETS.values():
        assert set(chosen.columns) <= set(FEATURE_COLUMNS)
        assert chosen.why.endswith(".")


@pytest.mark.parametrize(
    ("window", "stride", "sentence"),
    [
        (1, 25, "The window has to be at least 2 rows, not 1."),
        (50, 0, "The stride has to be at least 1 row, not 0."),
        (
            501,
            25,
            (
                "The window of 501 rows is longer than every run (the longest has 500); "
                "choose a shorter window."
            ),
        ),
    ],
)
def test_impossible_windows_are_refused(window: int, stride: int, sentence: str) -> None:
    with pytest.raises(ToolwearError) as caught:
        check_parameters(window, stride, longest_run=500)
    assert str(caught.value) == sentence
