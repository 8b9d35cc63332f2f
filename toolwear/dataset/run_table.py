"""The table of runs: which run was cut at which setting, with which tool."""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet
from toolwear.dataset.names import plain
from toolwear.dataset.nulls import is_null
from toolwear.dataset.run_file import is_parquet
from toolwear.dataset.text_format import cells_of, text_format
from toolwear.dataset.text_stream import lines_of

_WHOLE = re.compile(r"([0-9]{1,9})([.,]0*)?")  # programs write 7 as 7.0, too
_YES_NO = {"yes": True, "no": False}
# Keys of the contract that name the table's columns, as people are told them.
_NUMBER, _MATERIAL, _FINISHED, _INSPECTED = (
    f"{name} under [recordings]" for name in ("number", "material", "finished", "inspected")
)
_SETTINGS = " under [settings]"
_LABEL = "column under [label]"
# A run gets a day of its own in the event times, and pandas' nanoseconds end in the year 2262.
MAXIMUM_RUN_NUMBER = 80_000


@dataclass(frozen=True)
class Run:
    """One row of the table of runs.

    Attributes:
        number: of the run.
        settings: by name, in the contract's units.
        worn: number of the class; None where nobody has said it.
        material: of the work piece; empty where the table does not say it.
        finished: whether it was run to its end; None where the table does not say it.
        inspected: whether the work piece passed; None where nobody looked.
        stretch: of the recording, from 1, where it is divided by its labels; else 0.
    """

    number: int
    settings: Mapping[str, float]
    worn: int | None
    material: str = ""
    finished: bool | None = None
    inspected: bool | None = None
    stretch: int = 0

    @property
    def run_id(self) -> str:
        """The run's key."""
        return schema.run_id(self.number, self.stretch)


def stretched(table: Sequence[Run], labels: Mapping[str, int | None]) -> list[Run]:
    """Return a run for each stretch of a class, with what the table says of its recording.

    Args:
        table: of the recordings; empty if there is none, as it need not be without settings.
        labels: of the stretches by the keys of their runs.
    """
    said = {run.run_id: run for run in table}
    runs = []
    for key, worn in labels.items():
        recording, _, stretch = key.partition("-")
        run = said.get(recording, None if table else Run(int(recording), {}, None))
        if run is not None:
            runs.append(replace(run, worn=worn, stretch=int(stretch or 0)))
    seen = {run.number for run in runs}
    return [*runs, *(run for run in table if run.number not in seen)]


def read_run_table(path: Path, dataset: DataSet) -> tuple[list[Run], str]:
    """Return the runs that the table names, in the order of their numbers, and how it is written.

    Args:
        path: CSV in any usual form, packed or not, or Parquet.
        dataset: its contract.

    Raises:
        ToolwearError: the table is no text, lacks columns, or a cell can't be what it says; the
            sentence names the line.
    """
    columns = _columns(dataset)
    header, rows, decimal, told = _read(path, dataset, tuple(columns.values()))
    for key, theirs in columns.items():
        if header.count(theirs) != 1:
            raise _wrong_column(path, key, theirs, header, set(columns.values()))
    runs = []
    for line, cells in rows:
        if len(cells) != len(header):
            raise ToolwearError(
                f"{path.name} line {line} has {len(cells)} cells rather than {len(header)}; "
                "mend the line."
            )
        named = dict(zip(header, cells, strict=True))
        by_key = {key: named[theirs].strip() for key, theirs in columns.items()}
        runs.append(_Row(path.name, line, by_key, columns, decimal, dataset).run())
    if not runs:
        raise ToolwearError(f"{path.name} holds no runs; add a row for each recorded run.")
    number, count = Counter(run.number for run in runs).most_common(1)[0]
    if count > 1:
        raise ToolwearError(f"{path.name} names run {number} more than once; keep one row for it.")
    return sorted(runs, key=lambda run: run.number), told


def _columns(dataset: DataSet) -> dict[str, str]:
    """Return the table's columns by the key of the contract that names each."""
    about = dataset.recordings
    optional = {
        _MATERIAL: about.material,
        _FINISHED: about.finished,
        _INSPECTED: about.inspected,
    }
    return {
        _NUMBER: about.number,
        **{f"{name}{_SETTINGS}": one.column for name, one in dataset.settings.items()},
        **({_LABEL: dataset.label.column} if dataset.label.of == "recording" else {}),
        **{key: column for key, column in optional.items() if column},
    }


def _wrong_column(
    path: Path, key: str, theirs: str, header: list[str], known: set[str]
) -> ToolwearError:
    if theirs in header:
        return ToolwearError(f"{path.name} names twice the column '{theirs}'; keep one.")
    free = {plain(name): name for name in header if name not in known}
    near = difflib.get_close_matches(plain(theirs), list(free), n=1)
    meant = f"; is it '{free[near[0]]}'?" if near else "; it needs each of its columns once."
    say = f" Say so in {key} in dataset.toml." if near else ""
    return ToolwearError(f"{path.name} lacks the column '{theirs}'{meant}{say}")


def _read(
    path: Path, dataset: DataSet, known: tuple[str, ...]
) -> tuple[list[str], list[tuple[int, list[str]]], str, str]:
    """Return header, line number and cells of every row, the decimal mark, and the format told."""
    if is_parquet(path):
        try:
            table = pq.read_table(path, use_threads=False)
        except (pa.ArrowInvalid, OSError):
            raise ToolwearError(f"{path.name} can't be read as Parquet; copy it again.") from None
        records = [
            ["" if value is None else f"{value}" for value in row.values()]
            for row in table.to_pylist()
        ]
        return list(table.column_names), list(enumerate(records, start=1)), ".", "Parquet"
    found = text_format(path, dataset.format, known)
    with lines_of(path, found.compression, found.encoding) as stream:
        try:
            lines = stream.readall().decode().removeprefix("\ufeff").split("\n")
            rows = [
                (number, next(cells_of([line], found.separator)))
                for number, line in enumerate(lines, start=1)
                if number > found.header_line and line.strip(" \t" + found.separator)
            ]
        except (UnicodeDecodeError, csv.Error):
            raise ToolwearError(f"{path.name} is not UTF-8 text; export it again as CSV.") from None
    return list(found.header), rows, found.decimal, found.told


@dataclass(frozen=True)
class _Row:
    """The cells of one line by the contract's key, their columns' names, and where they stand."""

    file: str
    line: int
    cells: dict[str, str]
    theirs: dict[str, str]
    decimal: str
    dataset: DataSet

    def run(self) -> Run:
        inspected = self.cells.get(_INSPECTED, "")
        return Run(
            number=self._run_number(),
            settings={name: self._positive(f"{name}{_SETTINGS}") for name in self.dataset.settings},
            worn=self._class() if _LABEL in self.cells else None,
            material=self.cells.get(_MATERIAL, ""),
            finished=self._yes_or_no(_FINISHED) if _FINISHED in self.cells else None,
            inspected=self._yes_or_no(_INSPECTED) if inspected else None,
        )

    def _wrong(self, key: str, what: str) -> ToolwearError:
        return ToolwearError(
            f"{self.file} line {self.line}: '{self.cells[key][:40]}' in column "
            f"'{self.theirs[key]}' is {what}; mend the cell."
        )

    def _run_number(self) -> int:
        number = run_number(self.cells[_NUMBER])
        if number is None:
            raise self._wrong(_NUMBER, f"no whole number from 1 to {MAXIMUM_RUN_NUMBER}")
        return number

    def _number(self, key: str, least: float, told: str) -> float:
        cell = self.cells[key]
        try:
            value = float(cell.replace(",", ".") if self.decimal == "," else cell)
        except ValueError:
            raise self._wrong(key, "not a number") from None
        if not (math.isfinite(value) and value > least):
            raise self._wrong(key, told)
        return value

    def _positive(self, key: str) -> float:
        return self._number(key, 0, "not a number above 0")

    def _class(self) -> int | None:
        label = self.dataset.label
        if label.worn_from is not None:
            if is_null(self.cells[_LABEL]):
                return None
            wear = self._number(_LABEL, -math.inf, "not a finite number")
            return int(wear >= label.worn_from)
        words = label.words
        cell = self.cells[_LABEL].lower()
        if cell not in words and is_null(cell):
            return None
        return words[self._word(_LABEL, tuple(words))]

    def _yes_or_no(self, key: str) -> bool:
        return _YES_NO[self._word(key, tuple(_YES_NO))]

    def _word(self, key: str, allowed: tuple[str, ...]) -> str:
        word = self.cells[key].lower()
        if word not in allowed:
            raise self._wrong(key, f"none of {', '.join(allowed)}")
        return word


def run_number(cell: str) -> int | None:
    """Return the number of a run that a cell says, None if it says none."""
    match = _WHOLE.fullmatch(cell.strip())
    number = int(match[1]) if match else 0
    return number if 1 <= number <= MAXIMUM_RUN_NUMBER else None
