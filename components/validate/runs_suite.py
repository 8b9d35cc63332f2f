"""The expectations on the table of runs and on what the telemetry holds of each run."""

from __future__ import annotations

from great_expectations import ExpectationSuite
from great_expectations.expectations.expectation import Expectation

from components.validate import summaries
from components.validate.logic import CRITICAL, WARNING
from components.validate.suite import about, build, gxe, in_range, in_set, not_null, of_type
from toolwear.common.thresholds import Validation
from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet


def _types(dataset: DataSet) -> dict[str, str]:
    return {
        schema.RUN_ID: "str",
        **dict.fromkeys(dataset.settings, "float64"),
        schema.CONDITION: "str",
        schema.LABEL: "int8",
        **({schema.FINALIZED: "bool"} if dataset.recordings.finished else {}),
        summaries.ROWS_RECORDED: "int64",
    }


_FINALIZED = {"row_condition": f"{schema.FINALIZED} == True", "condition_parser": "pandas"}
_ABORTED = {"row_condition": f"{schema.FINALIZED} == False", "condition_parser": "pandas"}


def schema_suite(dataset: DataSet) -> ExpectationSuite:
    """Return the suite on columns and types, which the suite on the runs relies on."""
    types = _types(dataset)
    columns = gxe.ExpectTableColumnsToMatchSet(
        column_set=[*types, schema.INSPECTION],
        exact_match=False,
        severity=CRITICAL,
        meta=about(
            "columns",
            "table",
            "The table of runs has its columns",
            "The table of runs lacks columns",
        ),
    )
    return build("runs schema", columns, *of_type(types))


def runs_suite(thresholds: Validation, dataset: DataSet) -> ExpectationSuite:
    """Return the suite on the table of runs, extended by `summaries.judge_runs`."""
    about_runs = dataset.recordings
    both = about_runs.finished and about_runs.inspected
    return build(
        "runs",
        *not_null(_types(dataset), "runs"),
        *in_range(dataset.settings, "runs"),
        *_identity(),
        *_labels(schema.CLASSES),
        *_contents(),
        _settings_agree(),
        _long_enough(
            round(thresholds.minimum_seconds_per_recording / about_runs.sample_period_seconds)
        ),
        *(_complete(dataset.phases.names[-1]) if about_runs.finished else ()),
        *(_inspection() if both else ()),
        *([_layers_fit(thresholds.layer_agreement)] if dataset.phases.levels else ()),
    )


def _identity() -> list[Expectation]:
    return [
        gxe.ExpectColumnValuesToBeUnique(
            column=schema.RUN_ID,
            severity=CRITICAL,
            meta=about(
                "one_label",
                "runs",
                "The run stands once in the table, with one label,",
                "The run stands more than once in the table of runs",
            ),
        ),
        gxe.ExpectColumnValuesToMatchRegex(
            column=schema.RUN_ID,
            regex=r"^\d{2,}(?:-\d+)?$",
            severity=CRITICAL,
            meta=about(
                "run_id",
                "runs",
                "The run's id is its number in two digits or more",
                "The run's id is not its number in two digits or more",
            ),
        ),
    ]


def _labels(classes: tuple[str, str]) -> list[Expectation]:
    both_classes = gxe.ExpectColumnDistinctValuesToContainSet(
        column=schema.CONDITION,
        value_set=list(classes),
        severity=CRITICAL,
        meta=about(
            "both_classes",
            "table",
            f"There are tools of both classes, {' and '.join(classes)}",
            "There are tools of one class only, so nothing can be learned",
        ),
    )
    condition = in_set(
        schema.CONDITION,
        classes,
        CRITICAL,
        about(
            "label",
            "runs",
            f"{schema.CONDITION} is {' or '.join(classes)}",
            f"{schema.CONDITION} is neither {' nor '.join(classes)}",
        ),
    )
    number = in_set(
        summaries.LABEL_AGREES,
        [True],
        CRITICAL,
        about(
            "label",
            "runs",
            f"The number of the class agrees with {schema.CONDITION}",
            f"The number of the class contradicts {schema.CONDITION}",
        ),
    )
    return [both_classes, condition, number]


def _contents() -> list[Expectation]:
    return [
        in_set(
            summaries.TWIN_OTHER_LABEL,
            [False],
            CRITICAL,
            about(
                "contradiction",
                "runs",
                "No other run has the same recording under the other label",
                "Another run has the same recording under the other label",
            ),
        ),
        in_set(
            summaries.TWIN_SAME_LABEL,
            [False],
            WARNING,
            about(
                "repetition",
                "runs",
                "No other run has the same recording and label",
                "Another run has the same recording and label, so that one is counted twice,",
            ),
        ),
        in_set(
            summaries.ROW_DIFFERENCE,
            [0],
            CRITICAL,
            about(
                "row_count",
                "runs",
                "The telemetry has as many rows as the table of runs says",
                "The telemetry has not as many rows as the table of runs says",
            ),
        ),
    ]


def _long_enough(minimum_rows: int) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column=summaries.ROWS_OF_RECORDING,
        min_value=minimum_rows,
        severity=CRITICAL,
        meta=about(
            "run_length",
            "runs",
            f"The run has at least {minimum_rows} rows",
            f"The run has fewer than {minimum_rows} rows",
        ),
    )


def _complete(last: str) -> list[Expectation]:
    layers = in_set(
        summaries.MISSING_LAYERS,
        [0],
        CRITICAL,
        about(
            "complete",
            "runs",
            "The finalized run goes through every phase that is judged",
            "The table calls the run finalized, but its telemetry lacks a phase that is judged,",
        ),
        **_FINALIZED,
    )
    end = in_set(
        summaries.REACHES_END,
        [True],
        CRITICAL,
        about(
            "complete",
            "runs",
            f"The finalized run reaches the phase {last}",
            f"The table calls the run finalized, but its telemetry never reaches the phase {last},",
        ),
        **_FINALIZED,
    )
    return [layers, end]


def _inspection() -> list[Expectation]:
    return [
        gxe.ExpectColumnValuesToBeNull(
            column=schema.INSPECTION,
            severity=WARNING,
            meta=about(
                "inspection",
                "runs",
                "The aborted run has no result of an inspection",
                "The run was aborted but has the result of an inspection",
            ),
            **_ABORTED,
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column=schema.INSPECTION,
            severity=WARNING,
            meta=about(
                "inspection",
                "runs",
                "The finalized run has the result of its inspection",
                "The run was finalized but lacks the result of its inspection",
            ),
            **_FINALIZED,
        ),
    ]


def _settings_agree() -> Expectation:
    return in_set(
        summaries.CONTRADICTION,
        [""],
        WARNING,
        about(
            "settings_agree",
            "runs",
            "The telemetry contradicts no setting of the table of runs",
            "The telemetry contradicts a setting of the table of runs",
            quotes=True,
        ),
    )


def _layers_fit(minimum: float) -> Expectation:
    share = f"{minimum * 100:g} % of the rows at a layer's depth are named for that layer"
    return gxe.ExpectColumnValuesToBeBetween(
        column=summaries.LAYER_AGREEMENT,
        min_value=minimum,
        severity=WARNING,
        meta=about(
            "layer_depth",
            "runs",
            f"At least {share}",
            f"Fewer than {share}, as when rows are stored out of their order,",
        ),
    )
