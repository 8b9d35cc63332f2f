"""The table of runs: which run was cut at which setting, with which tool."""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from components.core import schema
from components.core.errors import ToolwearError

_YES_NO = {"yes": True, "no": False}
# A run gets a day of its own in the event times, and pandas' nanoseconds end in the year 2262.
MAXIMUM_RUN_NUMBER = 80_000


@dataclass(frozen=True)
class Run:
    """One row of the table of runs; feed rate in mm/s, clamp pressure in bar."""

    number: int
    material: str
    feedrate: float
    clamp_pressure: float
    condition: str
    finalized: bool
    inspection: bool | None

    @property
    def run_id(self) -> str:
        """The run's key."""
        return schema.run_id(self.number)

    @property
    def worn(self) -> int:
        """The class number of the tool's condition."""
        return schema.CLASSES.index(self.condition)


def read_run_table(path: Path) -> list[Run]:
    """Return the runs that the table names, in the order of their numbers.

    Raises:
        ToolwearError: the table is no UTF-8 text, has other columns, or a cell can't be what it
            says; the sentence names the line.
    """
    rows = _rows(path)
    header = [name.strip() for name in rows[0][1]] if rows else []
    for name in schema.RUN_TABLE_COLUMNS:
        if header.count(name) != 1:
            how = "lacks the column" if name not in header else "names twice the column"
            raise ToolwearError(f"{path.name} {how} '{name}'; it needs each of its columns once.")
    runs = []
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            raise ToolwearError(
                f"{path.name} line {line} has {len(cells)} cells rather than {len(header)}; "
                "mend the line."
            )
        runs.append(_Row(path.name, line, dict(zip(header, cells, strict=True))).run())
    if not runs:
        raise ToolwearError(f"{path.name} holds no runs; add a row for each recorded run.")
    number, count = Counter(run.number for run in runs).most_common(1)[0]
    if count > 1:
        raise ToolwearError(f"{path.name} names run {number} more than once; keep one row for it.")
    return sorted(runs, key=lambda run: run.number)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return line number and cells of every line that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            return [(reader.line_num, cells) for cells in reader if any(cells)]
    except (UnicodeDecodeError, csv.Error):
        raise ToolwearError(f"{path.name} is not UTF-8 text; export it again as CSV.") from None


@dataclass(frozen=True)
class _Row:
    """The cells of one line by column, and where they stand."""

    file: str
    line: int
    cells: dict[str, str]

    def run(self) -> Run:
        return Run(
            number=self._run_number(),
            material=self._cell(schema.MATERIAL),
            feedrate=self._positive(schema.FEEDRATE),
            clamp_pressure=self._positive(schema.CLAMP_PRESSURE),
            condition=self._word(schema.CONDITION, schema.CLASSES),
            finalized=_YES_NO[self._word(schema.FINALIZED, tuple(_YES_NO))],
            inspection=_YES_NO[self._word(schema.INSPECTION, tuple(_YES_NO))]
            if self._cell(schema.INSPECTION)
            else None,
        )

    def _cell(self, column: str) -> str:
        return self.cells[column].strip()

    def _wrong(self, column: str, what: str) -> ToolwearError:
        return ToolwearError(
            f"{self.file} line {self.line}: '{self._cell(column)[:40]}' in column '{column}' "
            f"is {what}; mend the cell."
        )

    def _run_number(self) -> int:
        cell = self._cell(schema.RUN_NUMBER)
        if not (cell.isascii() and cell.isdigit() and 1 <= int(cell) <= MAXIMUM_RUN_NUMBER):
            raise self._wrong(schema.RUN_NUMBER, f"no whole number from 1 to {MAXIMUM_RUN_NUMBER}")
        return int(cell)

    def _positive(self, column: str) -> float:
        try:
            value = float(self._cell(column))
        except ValueError:
            raise self._wrong(column, "not a number") from None
        if not (math.isfinite(value) and value > 0):
            raise self._wrong(column, "not a number above 0")
        return value

    def _word(self, column: str, allowed: tuple[str, ...]) -> str:
        word = self._cell(column).lower()
        if word not in allowed:
            raise self._wrong(column, f"none of {', '.join(allowed)}")
        return word
