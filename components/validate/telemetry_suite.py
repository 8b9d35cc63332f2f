"""The expectations on the telemetry: its schema, its rows, and the summary of its signals."""

from __future__ import annotations

from collections.abc import Iterable

from great_expectations import ExpectationSuite
from great_expectations.expectations.expectation import Expectation

from components.validate import summaries
from components.validate.batches import ROW_STEP, TIME_STEP
from components.validate.logic import CRITICAL, INFO, WARNING
from components.validate.suite import about, build, gxe, in_range, in_set, not_null, of_type
from toolwear.common.thresholds import Validation
from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet, Fault


def columns(dataset: DataSet) -> dict[str, str]:
    """Return the telemetry's columns in their order, and the type of each."""
    return {
        schema.RUN_ID: "str",
        schema.ROW: "int64",
        schema.EVENT_TIME: "Timestamp",
        **dict.fromkeys(dataset.numbers, "float64"),
        dataset.phases.column: "str",
    }


def schema_suite(dataset: DataSet) -> ExpectationSuite:
    """Return the suite on columns and types, which all other suites rely on."""
    types = columns(dataset)
    in_order = gxe.ExpectTableColumnsToMatchOrderedList(
        column_list=list(types),
        severity=CRITICAL,
        meta=about(
            "columns",
            "table",
            f"The telemetry has its {len(types)} columns in their order",
            f"The telemetry does not have its {len(types)} columns in their order",
        ),
    )
    return build("telemetry schema", in_order, *of_type(types))


def rows_suite(
    known_runs: Iterable[str], thresholds: Validation, dataset: DataSet
) -> ExpectationSuite:
    """Return the suite on the rows, extended by the columns of `batches.Sampling`.

    Args:
        known_runs: Run ids of the table of runs.
        thresholds: The reviewed thresholds of validation.
        dataset: The data set's contract.
    """
    phases = dataset.phases
    known_run = in_set(
        schema.RUN_ID,
        known_runs,
        CRITICAL,
        about(
            "known_run",
            "rows",
            "The run stands in the table of runs",
            "The run does not stand in the table of runs, so it has no label,",
        ),
    )
    phase = in_set(
        phases.column,
        phases.names,
        CRITICAL,
        about(
            "phase",
            "rows",
            f"{phases.column} is one of the {len(phases.names)} phases",
            f"{phases.column} is none of the {len(phases.names)} phases",
        ),
    )
    return build(
        "telemetry",
        *not_null(columns(dataset), "rows", thresholds.maximum_null_share),
        *in_range(dataset.signals, "rows"),
        known_run,
        phase,
        *_sampling(round(dataset.recordings.sample_period_seconds * 1000)),
        *(_fault(fault, dataset.signals[fault.column].unit) for fault in dataset.faults),
    )


def _sampling(period: int) -> list[Expectation]:
    return [
        in_set(
            ROW_STEP,
            [1],
            CRITICAL,
            about(
                "sampling",
                "rows",
                "The row number follows the one before, from 0 in each run,",
                "The row number does not follow the one before (a gap, a repetition, or a run "
                "in pieces)",
            ),
        ),
        in_set(
            TIME_STEP,
            [period],
            WARNING,
            about(
                "sampling",
                "rows",
                f"The time is {period} ms after that of the row before",
                f"The time is not {period} ms after that of the row before",
            ),
        ),
    ]


def _fault(fault: Fault, unit: str) -> Expectation:
    severity = WARNING if fault.severity == "warning" else INFO
    if fault.normal is not None:
        claim = f"{fault.column} is {fault.normal:g}"
        meta = about(
            "sensor_fault", "rows", claim, f"{fault.column} is {fault.told}, {fault.about},"
        )
        return in_set(fault.column, [fault.normal], severity, meta)
    read = f"{fault.told} {unit}".rstrip()
    return gxe.ExpectColumnValuesToNotBeInSet(
        column=fault.column,
        value_set=[fault.value],
        severity=severity,
        meta=about(
            "sensor_fault",
            "rows",
            f"{fault.column} is not {read}, {fault.about},",
            f"{fault.column} reads {read}, {fault.about},",
        ),
    )


def signals_suite(digits: int) -> ExpectationSuite:
    """Return the suite on `summaries.Summaries.signals`: nothing but information.

    Args:
        digits: Significant ones that values are stored with; 0: all.
    """
    constant = in_set(
        summaries.CONSTANT,
        [False],
        INFO,
        about("constant", "signals", "The signal varies", "The signal never varies"),
    )
    resolution = gxe.ExpectColumnValuesToBeBetween(
        column=summaries.FINE_VALUES,
        min_value=1,
        severity=INFO,
        meta=about(
            "resolution",
            "signals",
            f"The signal is recorded with more than {digits} significant digits",
            f"The signal is recorded with no more than {digits} significant digits",
        ),
    )
    return build("signals", constant, *([resolution] if digits else []))
