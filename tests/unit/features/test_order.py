"""Restoring the order of shuffled batches, on the real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.mill import MILL
from toolwear.dataset import schema
from toolwear.features import order
from toolwear.features.compute import is_cutting
from toolwear.features.telemetry import read_rows

CUTTING = MILL.rows.cutting
BATCH = 10  # rows in a stored batch


@pytest.fixture(scope="module")
def runs(telemetry: Path) -> dict[str, pd.DataFrame]:
    return {run: pd.concat(pieces, ignore_index=True) for run, pieces in read_rows(telemetry, MILL)}


def restored(rows: pd.DataFrame) -> pd.DataFrame:
    index = order.plan([rows], MILL).time_index(np.arange(len(rows)))
    return rows.iloc[np.argsort(index)].reset_index(drop=True)


def shuffled(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    starts = np.random.default_rng(seed).permutation(np.arange(0, len(rows), BATCH))
    return pd.concat([rows.iloc[i : i + BATCH] for i in starts], ignore_index=True)


def breaks_among_cutting(rows: pd.DataFrame) -> int:
    """Count the discontinuities of cutting rows alone: two are left, the ways between 3 layers."""
    return order.plan([rows[is_cutting(rows, CUTTING)]], MILL, restore=False).discontinuities


def test_a_run_that_is_in_order_is_left_alone(runs: dict[str, pd.DataFrame]) -> None:
    found = order.plan([runs["01"]], MILL)
    assert not found.restored
    np.testing.assert_array_equal(found.time_index(np.arange(1055)), np.arange(1055))
    # A gap of 145 ms in the recording itself.
    assert found.discontinuities == found.discontinuities_after == 1


@pytest.mark.parametrize("run", ["11", "17", "18"])
def test_the_long_runs_become_continuous(runs: dict[str, pd.DataFrame], run: str) -> None:
    found = order.plan([runs[run]], MILL)
    assert found.discontinuities > 210
    assert found.discontinuities_after == 0
    assert breaks_among_cutting(runs[run]) > 185
    assert breaks_among_cutting(restored(runs[run])) == 2


def test_the_tool_no_longer_jumps_up_between_layers(runs: dict[str, pd.DataFrame]) -> None:
    def rises(rows: pd.DataFrame) -> int:
        depth = rows.loc[is_cutting(rows, CUTTING), "Z1_ActualPosition"]
        return int((depth.diff() > 0.5).sum())

    assert rises(runs["18"]) > 50
    assert rises(restored(runs["18"])) <= 2  # where the tool is drawn out of a layer


def test_what_cannot_be_restored_is_counted(runs: dict[str, pd.DataFrame]) -> None:
    left = {run: order.plan([rows], MILL).cutting_after for run, rows in runs.items()}
    imperfect = {run for run, count in left.items() if count > 2}
    assert imperfect == {"03", "06", "12"}
    # In these two the axis and the spindle columns slip against each other.
    slips = {run: order.plan([rows], MILL).slips for run, rows in runs.items()}
    assert {run for run, count in slips.items() if count > 2} == {"03", "06"}
    assert order.plan([runs["02"]], MILL).discontinuities_after > 10  # fragments of two idle times


@pytest.mark.parametrize("seed", range(5))
def test_an_artificial_shuffle_is_undone_exactly(runs: dict[str, pd.DataFrame], seed: int) -> None:
    mixed = shuffled(runs["01"], seed)
    assert (mixed[schema.ROW].to_numpy() != np.arange(len(mixed))).mean() > 0.9
    pd.testing.assert_frame_equal(restored(mixed), runs["01"])


@pytest.mark.parametrize("rows_per_chunk", [2, 97, 1000])
def test_chunks_make_no_difference(runs: dict[str, pd.DataFrame], rows_per_chunk: int) -> None:
    rows = runs["06"]
    whole = order.plan([rows], MILL)
    chunked = order.plan(
        (rows.iloc[i : i + rows_per_chunk] for i in range(0, len(rows), rows_per_chunk)), MILL
    )
    assert chunked.summary() == whole.summary()
    np.testing.assert_array_equal(chunked.start, whole.start)
    np.testing.assert_array_equal(chunked.offset, whole.offset)


def test_every_row_has_its_own_time(runs: dict[str, pd.DataFrame]) -> None:
    for rows in runs.values():
        index = order.plan([rows], MILL).time_index(np.arange(len(rows)))
        np.testing.assert_array_equal(np.sort(index), np.arange(len(rows)))


def test_not_to_restore_only_counts(runs: dict[str, pd.DataFrame]) -> None:
    found = order.plan([runs["11"]], MILL, restore=False)
    assert not found.restored
    assert found.discontinuities == found.discontinuities_after > 210
