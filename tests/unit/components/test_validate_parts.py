"""The parts of validation that need no Great Expectations: batches, summaries, sums, sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.validate.batches import ROW_STEP, TIME_STEP, Sampling, batches, distinct_schemas
from components.validate.logic import (
    CRITICAL,
    EXAMPLES,
    FAILING_ROWS,
    INFO,
    WARNING,
    Check,
    Example,
    Finding,
    Ledger,
)
from components.validate.plots import fault_rates
from components.validate.summaries import (
    CONSTANT,
    FINE_VALUES,
    LAYER_AGREEMENT,
    ROW_DIFFERENCE,
    ROWS_FOUND,
    SIGNAL,
    TWIN_OTHER_LABEL,
    TWIN_SAME_LABEL,
    Summaries,
    fine_values,
    judge_runs,
)
from datasets.cnc_mill import names as mill
from tests.mill import MILL
from toolwear.dataset import schema


def check(claim: str, severity: str = CRITICAL, allowed_share: float = 0.0) -> Check:
    return Check("name", "column", severity, "rows", claim, f"not {claim}", allowed_share)


def test_every_signal_has_a_range_that_holds_the_recordings(telemetry: Path) -> None:
    assert tuple(MILL.signals) == mill.NUMERIC_COLUMNS
    rows = pd.concat(map(pd.read_parquet, telemetry.glob("part-*.parquet")))[list(MILL.signals)]
    low = pd.Series({column: signal.low for column, signal in MILL.signals.items()}, dtype=float)
    high = pd.Series({column: signal.high for column, signal in MILL.signals.items()}, dtype=float)
    assert ((rows.min() >= low) & (rows.max() <= high)).all()
    assert all(signal.unit for signal in MILL.signals.values())


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_batches_keep_order_and_size_whatever_the_files(tmp_path: Path, size: int) -> None:
    sizes = [5, 0, 1, 9, 2]
    values = iter(range(sum(sizes)))
    for number, rows in enumerate(sizes):
        table = pa.table({"x": pa.array([next(values) for _ in range(rows)], pa.int64())})
        pq.write_table(table, tmp_path / f"part-{number:05d}.parquet", row_group_size=4)
    found = list(batches(tmp_path, size))
    assert [x for table in found for x in table["x"].to_pylist()] == list(range(sum(sizes)))
    assert {table.num_rows for table in found[:-1]} <= {size}
    assert len(list(distinct_schemas(tmp_path))) == 1


def keys(run: str, rows: list[int]) -> pd.DataFrame:
    time = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(np.array(rows) * 100, "ms")
    return pd.DataFrame({schema.RUN_ID: run, schema.ROW: rows, schema.EVENT_TIME: time})


def test_sampling_sees_gaps_repetitions_and_runs_in_pieces_across_batches() -> None:
    whole = pd.concat(
        [keys("01", [0, 1, 2, 4]), keys("02", [0, 1, 1]), keys("01", [5])], ignore_index=True
    )
    at_once = Sampling().add_to(whole)
    assert list(at_once[ROW_STEP]) == [1, 1, 1, 2, 1, 1, 0, 6]
    assert list(at_once[TIME_STEP].fillna(-1)) == [-1, 100, 100, 200, -1, 100, 0, -1]
    sampling = Sampling()
    one_by_one = pd.concat(
        [sampling.add_to(whole.iloc[[i]].reset_index(drop=True)) for i in range(len(whole))],
        ignore_index=True,
    )
    pd.testing.assert_frame_equal(one_by_one, at_once)


@given(st.integers(-999, 999), st.integers(-18, 18))
def test_three_digits_are_never_called_fine(digits: int, exponent: int) -> None:
    assert fine_values(np.array([float(f"{digits}e{exponent}")]), 3) == 0


def test_finer_values_are_counted_and_holes_are_not() -> None:
    values = np.array([1.234, 198.5, 0.001001, 198.0, 0.0, np.nan, np.inf, -np.inf])
    assert fine_values(values, 3) == 3


def recording(run: str, rows: int, phase: str, depth: float, level: float) -> pd.DataFrame:
    frame = pd.DataFrame(level, index=range(rows), columns=list(MILL.signals))
    frame["Z1_ActualPosition"] = depth
    return frame.assign(**{schema.RUN_ID: run, mill.PHASE: phase})


def test_summaries_compare_depth_with_layer_and_find_equal_recordings() -> None:
    rows = pd.concat(
        [
            recording("01", 4, "Layer 1 Up", 29.6 + 0.1, 5.0),
            recording("02", 3, "Layer 2 Up", 28.6, 6.0),
            recording("02", 1, "Layer 1 Up", 28.6, 6.0),
            recording("03", 4, "Prep", 29.6 + 0.1, 5.0),
        ]
    )
    summaries = Summaries(MILL)
    for start in range(0, len(rows), 3):
        summaries.add(rows.iloc[start : start + 3].reset_index(drop=True))
    table = pd.DataFrame(
        {
            schema.RUN_ID: ["01", "02", "03", "04"],
            schema.CONDITION: ["unworn", "worn", "worn", "worn"],
            schema.LABEL: [0, 1, 1, 1],
            mill.FEEDRATE: [6.0] * 4,
            mill.CLAMP_PRESSURE: [4.0] * 4,
            "rows": [4, 4, 5, 2],
        }
    )
    runs = judge_runs(table, summaries.runs(), MILL)
    assert runs[LAYER_AGREEMENT].fillna(-1).tolist() == [1.0, 0.75, -1, -1]
    assert runs[ROW_DIFFERENCE].tolist() == [0, 0, -1, -2]
    assert runs[TWIN_OTHER_LABEL].tolist() == [True, False, True, False]
    assert runs[TWIN_SAME_LABEL].tolist() == [False] * 4
    signals = summaries.signals().set_index(SIGNAL)
    assert not signals.loc["X1_ActualPosition", CONSTANT]
    assert signals[FINE_VALUES].sum() == 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_known_fault_has_a_panel(count: int) -> None:
    faults = MILL.faults[-count:]
    runs = pd.DataFrame(
        {
            schema.RUN_ID: ["01", "02"],
            schema.CONDITION: ["unworn", "worn"],
            ROWS_FOUND: [4, 4],
            **{fault.column: [1, 3] for fault in faults},
        }
    )
    svg = fault_rates(runs, MILL.model_copy(update={"faults": faults}))
    assert svg.count(": 4 of 8 rows") == count
    assert "M1_CURRENT_PROGRAM_NUMBER is not 0" in svg


def test_a_sum_is_judged_on_the_total_and_not_batch_by_batch() -> None:
    ledger = Ledger()
    some = check("some", allowed_share=0.1)
    ledger.add(Finding(some, 10, 2), [])
    assert ledger.failures(CRITICAL)
    ledger.add(Finding(some, 90, 0), [])
    assert not ledger.failures(CRITICAL)
    assert ledger.tallies[0].sentence == "not some in 2 of 100 rows (2.0 %)."


def test_failures_come_first_and_the_worst_of_them_leads() -> None:
    ledger = Ledger()
    for claim, severity, unexpected in (
        ("fine", CRITICAL, 0),
        ("odd", INFO, 9),
        ("strange", WARNING, 8),
        ("bad", CRITICAL, 1),
        ("worse", CRITICAL, 7),
    ):
        ledger.add(Finding(check(claim, severity), 10, unexpected), [])
    assert [tally.check.claim for tally in ledger.tallies] == [
        "worse",
        "bad",
        "strange",
        "odd",
        "fine",
    ]
    assert ledger.failures(CRITICAL)[0].check.claim == "worse"
    result = ledger.result({"digest": "d"})
    assert (result["success"], result["critical_failures"], result["warnings"]) == (False, 2, 1)
    assert ledger.tallies[-1].sentence == "fine in all 10 rows."


def test_examples_and_failing_rows_are_capped() -> None:
    ledger = Ledger()
    for number in range(12):
        finding = Finding(check(f"claim {number}"), 5_000, 5_000)
        for start in (0, 600):
            examples = (Example("01", row, "nan") for row in range(start, start + 600))
            ledger.add(finding, examples)
    assert {len(tally.examples) for tally in ledger.tallies} == {EXAMPLES}
    lines = ledger.failing_rows()
    assert len(lines) == FAILING_ROWS
    assert [line["row"] for line in lines[:EXAMPLES]] == list(range(EXAMPLES))
    assert lines[0] == {
        "run_id": "01",
        "row": 0,
        "column": "column",
        "value": "nan",
        "reason": "not claim 0",
    }
