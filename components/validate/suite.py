"""What the suites share: how an expectation says what it claims, and the commonest ones.

No expectation uses `mostly`: exceptions are counted batch by batch and judged on the total,
against the share that `about` allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import great_expectations.expectations
import numpy as np
from great_expectations import ExpectationSuite
from great_expectations.expectations.expectation import Expectation

from components.validate.logic import CRITICAL, Unit
from toolwear.dataset.contract import Quantity

# The module does not export its classes in the way that type checkers ask for.
gxe: Any = great_expectations.expectations

_FARTHEST = float(np.finfo(np.float64).max)  # what no contract bounds has to be finite


def about(
    name: str,
    unit: Unit,
    claim: str,
    fault: str,
    allowed_share: float = 0.0,
    *,
    quotes: bool = False,
) -> dict[str, Any]:
    """Return the `meta` of an expectation.

    Args:
        name: Its short name in the result.
        unit: What it counts.
        claim: What holds if it succeeds; unique, "in all 7 rows" is added to it.
        fault: How its failure reads; "in 3 of 7 rows" is added to it.
        allowed_share: Share of the unit that may fail.
        quotes: Whether the value that fails is told beside the name of the run.
    """
    return {
        "name": name,
        "unit": unit,
        "claim": claim,
        "fault": fault,
        "allowed_share": allowed_share,
        "quotes": quotes,
    }


def build(name: str, *expectations: Expectation) -> ExpectationSuite:
    """Return a suite; raise `ValueError` if two expectations claim the same."""
    claims = [(expectation.meta or {})["claim"] for expectation in expectations]
    if len(set(claims)) < len(claims):
        raise ValueError(f"{name}: two expectations make the same claim")
    return ExpectationSuite(name=name, expectations=list(expectations))


def of_type(types: Mapping[str, str]) -> list[Expectation]:
    """Expect columns to have the given types."""
    return [
        gxe.ExpectColumnValuesToBeOfType(
            column=column,
            type_=type_,
            severity=CRITICAL,
            meta=about(
                "type", "table", f"{column} has type {type_}", f"{column} is not of type {type_}"
            ),
        )
        for column, type_ in types.items()
    ]


def not_null(columns: Iterable[str], unit: Unit, allowed_share: float = 0.0) -> list[Expectation]:
    """Expect a value in every row."""
    return [
        gxe.ExpectColumnValuesToNotBeNull(
            column=column,
            severity=CRITICAL,
            meta=about(
                "not_null", unit, f"{column} has a value", f"{column} has no value", allowed_share
            ),
        )
        for column in columns
    ]


def in_range(quantities: Mapping[str, Quantity], unit: Unit) -> list[Expectation]:
    """Expect values within the physical range; infinities are outside, missing ones are not."""
    expectations: list[Expectation] = []
    for column, quantity in quantities.items():
        low = -_FARTHEST if quantity.low is None else quantity.low
        high = _FARTHEST if quantity.high is None else quantity.high
        limits = f"{low:g} to {high:g} {quantity.unit}".rstrip()
        meta = about(
            "range",
            unit,
            f"{column} lies within its physical range, {limits},",
            f"{column} lies outside its physical range, {limits},",
        )
        expectations.append(
            gxe.ExpectColumnValuesToBeBetween(
                column=column,
                min_value=low,
                max_value=high,
                severity=CRITICAL,
                meta=meta,
            )
        )
    return expectations


def in_set(
    column: str, values: Iterable[Any], severity: str, meta: dict[str, Any], **options: Any
) -> Expectation:
    """Expect values out of a set."""
    return gxe.ExpectColumnValuesToBeInSet(
        column=column, value_set=list(values), severity=severity, meta=meta, **options
    )
