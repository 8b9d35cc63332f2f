"""The table of runs: which run was cut at which setting, with which tool."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from components.core import schema
from components.core.errors import ToolwearError

_YES_NO = {"yes": True, "no": False}


@dataclass(frozen=True)
class Run:
    """One row of the table of runs."""

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
    """Read `train.csv` and return its runs in the order of their numbers.

    Raises:
        ToolwearError: the table is missing, not text, lacks a column, or a row is wrong.
    """
    if not path.is_file():
        raise ToolwearError(f"{path} is missing; the folder of recordings must hold it.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ToolwearError(f"{path.name} is not UTF-8 text; export it again as CSV.") from None
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    missing = [name for name in schema.RUN_TABLE_COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        raise ToolwearError(f"{path.name} lacks the column '{missing[0]}'; add it.")
    runs = [_run(path.name, reader.line_num, row) for row in reader]
    _check(path.name, runs)
    return sorted(runs, key=lambda run: run.number)


def _check(name: str, runs: list[Run]) -> None:
    if not runs:
        raise ToolwearError(f"{name} holds no runs; add a row for each recorded run.")
    numbers = [run.number for run in runs]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise ToolwearError(f"{name} names run {twice[0]} more than once; keep one row for it.")


def _run(name: str, line: int, row: dict[str, str | None]) -> Run:
    def cell(column: str) -> str:
        return (row[column] or "").strip()

    def number(column: str) -> float:
        try:
            return float(cell(column))
        except ValueError:
            raise ToolwearError(
                f"{name} line {line}: '{cell(column)}' in column '{column}' is not a number."
            ) from None

    def word(column: str, allowed: dict[str, bool]) -> bool:
        if cell(column).lower() not in allowed:
            raise ToolwearError(
                f"{name} line {line}: '{cell(column)}' in column '{column}' is none of "
                f"{', '.join(allowed)}."
            )
        return allowed[cell(column).lower()]

    condition = cell(schema.CONDITION).lower()
    if condition not in schema.CLASSES:
        raise ToolwearError(
            f"{name} line {line}: the tool's condition '{condition}' is neither "
            f"{' nor '.join(schema.CLASSES)}."
        )
    run_number = number(schema.RUN_NUMBER)
    if run_number != int(run_number) or run_number < 1:
        raise ToolwearError(f"{name} line {line}: the run's number must be a whole one from 1 on.")
    return Run(
        number=int(run_number),
        material=cell(schema.MATERIAL),
        feedrate=number(schema.FEEDRATE),
        clamp_pressure=number(schema.CLAMP_PRESSURE),
        condition=condition,
        finalized=word(schema.FINALIZED, _YES_NO),
        inspection=word(schema.INSPECTION, _YES_NO) if cell(schema.INSPECTION) else None,
    )
