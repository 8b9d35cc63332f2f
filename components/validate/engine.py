"""Running a suite of Great Expectations on one frame and reading the counts out of its results."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import pandas as pd
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from components.validate.logic import EXAMPLES, Check, Finding

_COUNTS: Any = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}


class Engine:
    """A context in memory with one pandas source: no files, no analytics, no progress bars."""

    def __init__(self) -> None:
        self.context = gx.get_context(mode="ephemeral")
        self.context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = self.context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
        self.whole = asset.add_batch_definition_whole_dataframe("whole")

    def check(
        self, frame: pd.DataFrame, suite: gx.ExpectationSuite, *, count_all: bool = False
    ) -> list[Finding]:
        """Return one finding an expectation, in the order of the suite.

        Each expectation is first asked for yes or no, which is cheap; those that fail are asked
        again for counts and examples.

        Args:
            frame: The rows, with an index from 0.
            suite: Expectations with the `meta` of `components.validate.suite.about`.
            count_all: Count at once, also where nothing fails; for small frames with row
                conditions, whose number of rows only the count tells.
        """
        batch = self.whole.get_batch(batch_parameters={"dataframe": frame})
        plain: Any = _COUNTS if count_all else "BOOLEAN_ONLY"
        results = {_claim(r): r for r in batch.validate(suite, result_format=plain).results}
        expectations = {str((e.meta or {})["claim"]): e for e in suite.expectations}
        failing = [e for claim, e in expectations.items() if not results[claim].success]
        if failing and not count_all:
            again = gx.ExpectationSuite(name=suite.name, expectations=failing)
            counted = batch.validate(again, result_format=_COUNTS).results
            results.update({_claim(result): result for result in counted})
        return [_finding(results[claim], len(frame)) for claim in expectations]


def _config(result: ExpectationValidationResult) -> ExpectationConfiguration:
    if result.expectation_config is None:
        raise RuntimeError("Great Expectations returned a result without its expectation")
    return result.expectation_config


def _claim(result: ExpectationValidationResult) -> str:
    return str(_config(result).meta["claim"])


def _finding(result: ExpectationValidationResult, rows: int) -> Finding:
    config, counts = _config(result), result.result
    check = Check(column=config.kwargs.get("column"), severity=config.severity.value, **config.meta)
    by_table = check.unit == "table"
    if result.success:
        total = 1 if by_table else counts.get("element_count", rows)
        return Finding(check, total, 0)
    if by_table:
        return Finding(check, 1, 1, observed=_observed(counts))
    if "unexpected_count" not in counts:
        raise RuntimeError(f"{check.claim}: could not be evaluated: {result.exception_info}")
    return Finding(
        check,
        counts["element_count"],
        counts["unexpected_count"],
        counts.get("partial_unexpected_index_list") or (),
    )


def _observed(counts: dict[str, Any]) -> str:
    """Return what was seen in place of the table or column that was expected."""
    mismatched = counts.get("details", {}).get("mismatched")
    if isinstance(mismatched, list):  # ordered columns: one entry a position
        first = mismatched[0]
        found, expected = first["Found"] or "nothing", first["Expected"] or "nothing"
        position = first["Expected Column Position"] + 1
        return f"at position {position} stands {found} instead of {expected}"
    if isinstance(mismatched, dict):  # a set of columns
        return "missing " + ", ".join(mismatched.get("missing", []))
    return f"found {counts['observed_value']}" if counts.get("observed_value") else ""
