"""The expectations on the telemetry: its schema, its rows, and the summary of its signals."""

from __future__ import annotations

from collections.abc import Iterable

from great_expectations import ExpectationSuite
from great_expectations.expectations.expectation import Expectation

from components.validate import summaries
from components.validate.batches import ROW_STEP, TIME_STEP
from components.validate.logic import CRITICAL, INFO, WARNING
from components.validate.signals import FAULTS, NORMAL_PROGRAM, SIGNALS, SIGNIFICANT_DIGITS
from components.validate.suite import about, build, gxe, in_range, in_set, not_null, of_type
from toolwear.common.thresholds import Validation
from toolwear.dataset import schema

COLUMNS = (schema.RUN_ID, schema.ROW, schema.EVENT_TIME, *schema.RAW_COLUMNS)
_TYPES = {
    schema.RUN_ID: "str",
    schema.ROW: "int64",
    schema.EVENT_TIME: "Timestamp",
    **dict.fromkeys(schema.NUMERIC_COLUMNS, "float64"),
    schema.PHASE: "str",
}
_PERIOD = round(schema.SAMPLE_PERIOD_SECONDS * 1000)


def schema_suite() -> ExpectationSuite:
    """Return the suite on columns and types, which all other suites rely on."""
    columns = gxe.ExpectTableColumnsToMatchOrderedList(
        column_list=list(COLUMNS),
        severity=CRITICAL,
        meta=about(
            "columns",
            "table",
            f"The telemetry has its {len(COLUMNS)} columns in their order",
            f"The telemetry does not have its {len(COLUMNS)} columns in their order",
        ),
    )
    return build("telemetry schema", columns, *of_type(_TYPES))


def rows_suite(known_runs: Iterable[str], thresholds: Validation) -> ExpectationSuite:
    """Return the suite on the rows, extended by the columns of `batches.Sampling`.

    Args:
        known_runs: Run ids of the table of runs.
        thresholds: The reviewed thresholds of validation.
    """
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
        schema.PHASE,
        schema.PHASES,
        CRITICAL,
        about(
            "phase",
            "rows",
            f"{schema.PHASE} is one of the {len(schema.PHASES)} phases",
            f"{schema.PHASE} is none of the {len(schema.PHASES)} phases",
        ),
    )
    return build(
        "telemetry",
        *not_null(COLUMNS, "rows", thresholds.maximum_null_share),
        *in_range(SIGNALS, "rows"),
        known_run,
        phase,
        *_sampling(),
        *_faults(),
    )


def _sampling() -> list[Expectation]:
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
            [_PERIOD],
            WARNING,
            about(
                "sampling",
                "rows",
                f"The time is {_PERIOD} ms after that of the row before",
                f"The time is not {_PERIOD} ms after that of the row before",
            ),
        ),
    ]


def _faults() -> list[Expectation]:
    known = [
        gxe.ExpectColumnValuesToNotBeInSet(
            column=fault.column,
            value_set=[fault.value],
            severity=WARNING,
            meta=about("sensor_fault", "rows", fault.claim, fault.reading),
        )
        for fault in FAULTS
    ]
    program = in_set(
        schema.PROGRAM_NUMBER,
        [NORMAL_PROGRAM],
        INFO,
        about(
            "sensor_fault",
            "rows",
            f"The program number is {NORMAL_PROGRAM}",
            f"The program number is not {NORMAL_PROGRAM}, which the data set's page calls a fault "
            "against the evidence of the data,",
        ),
    )
    return [*known, program]


def signals_suite() -> ExpectationSuite:
    """Return the suite on `summaries.Summaries.signals`: nothing but information."""
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
            f"The signal is recorded with more than {SIGNIFICANT_DIGITS} significant digits",
            f"The signal is recorded with no more than {SIGNIFICANT_DIGITS} significant digits",
        ),
    )
    return build("signals", constant, resolution)
