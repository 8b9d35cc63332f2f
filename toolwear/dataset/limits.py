"""Limits on columns, such as "Z1_ActualPosition < 30.2": what makes a row count as cutting."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

_LIMIT = re.compile(r"\s*(\w+)\s*([<>])\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")


def near_miss(name: str, known: Iterable[str]) -> str:
    """Return the question whether a known name like this one was meant; empty if none is."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


@dataclass(frozen=True)
class Limit:
    """One condition on a column; `below` tells which side of `value` is meant."""

    column: str
    below: bool
    value: float

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return for each value of the column whether it keeps the condition; NaN does not."""
        return values < self.value if self.below else values > self.value


@cache
def limit(text: str) -> Limit:
    """Return what a condition such as "Z1_ActualPosition < 30.2" says.

    Raises:
        ValueError: it says nothing.
    """
    match = _LIMIT.fullmatch(text)
    try:
        value = float(match[3]) if match else None
    except ValueError:
        value = None
    if match is None or value is None:
        raise ValueError(f"'{text}' is no limit; write one like 'Z1_ActualPosition < 30.2'")
    return Limit(match[1], match[2] == "<", value)


def limit_columns(cutting: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that conditions speak of."""
    return tuple(dict.fromkeys(limit(text).column for text in cutting))
