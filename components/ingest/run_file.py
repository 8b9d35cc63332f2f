"""One run's file as a stream of typed record batches."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from components.core import schema
from components.core.errors import ToolwearError
from components.ingest.newlines import UniversalNewlines

_BLOCK_BYTES = 8 << 20
_HEADER_BYTES = 1 << 16
_NULLS = ["", "NaN", "nan", "NA", "null", "NULL"]


@dataclass
class FileNotes:
    """What was odd about a file, gathered while it is read."""

    bare_carriage_returns: bool = False
    columns_reordered: bool = False
    ends_with_newline: bool = True
    last_phase: str | None = None


def read_batches(path: Path, notes: FileNotes) -> Iterator[pa.RecordBatch]:
    """Yield the file's rows as batches with the columns of `schema.RAW_COLUMNS` in that order.

    Memory is bounded by the block size, whatever the file's. Empty cells and NaN become null.

    Args:
        path: a run's CSV file; LF, CRLF and bare CR line ends, a byte order mark and columns in
            another order are read.
        notes: filled in while reading; whole once the iterator is exhausted.

    Raises:
        ToolwearError: the file is empty, not text, has other columns, text in a number or a
            short row; the sentence names the file and the place.
    """
    header = _header(path)
    notes.columns_reordered = tuple(header) != schema.RAW_COLUMNS
    types = dict.fromkeys(schema.NUMERIC_COLUMNS, pa.float64()) | {schema.PHASE: pa.string()}
    rows = 0
    with path.open("rb") as raw:
        stream = UniversalNewlines(raw)
        try:
            reader = pacsv.open_csv(
                pa.PythonFile(stream, mode="r"),
                read_options=pacsv.ReadOptions(
                    use_threads=False, block_size=_BLOCK_BYTES, column_names=header, skip_rows=1
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types=types, null_values=_NULLS, include_columns=list(schema.RAW_COLUMNS)
                ),
            )
            for batch in reader:
                rows += batch.num_rows
                if batch.num_rows:
                    notes.last_phase = batch.column(schema.PHASE)[-1].as_py()
                    yield batch
        except pa.ArrowInvalid as error:
            raise ToolwearError(_sentence(path.name, str(error), rows, header)) from None
        notes.bare_carriage_returns = stream.bare_carriage_returns
        notes.ends_with_newline = stream.ends_with_newline
    if rows == 0:
        raise ToolwearError(f"{path.name} holds no rows; record the run again or remove it.")
    _refuse_truncated(path.name, notes)


def _header(path: Path) -> list[str]:
    with path.open("rb") as raw:
        start = raw.read(_HEADER_BYTES)
    if not start.strip():
        raise ToolwearError(f"{path.name} is empty; record the run again or remove it.")
    try:
        first = start.decode("utf-8-sig", errors="strict").splitlines()[0]
    except UnicodeDecodeError as error:
        # A character cut by the block's end is no fault of the file.
        if error.start < len(start) - 4:
            raise ToolwearError(f"{path.name} is not UTF-8 text; export it again as CSV.") from None
        first = start[: error.start].decode("utf-8-sig").splitlines()[0]
    header = [name.strip() for name in next(csv.reader([first]))]
    missing = [name for name in schema.RAW_COLUMNS if name not in header]
    extra = [name for name in header if name not in schema.RAW_COLUMNS]
    if missing:
        raise ToolwearError(
            f"{path.name} lacks the column '{missing[0]}'"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + f"; {len(schema.RAW_COLUMNS)} columns are needed."
        )
    if extra:
        raise ToolwearError(f"{path.name} has a column too many, '{extra[0]}'; remove it.")
    if len(set(header)) != len(header):
        raise ToolwearError(f"{path.name} names a column twice; keep one of them.")
    return header


def _refuse_truncated(name: str, notes: FileNotes) -> None:
    known = {*schema.PHASES, *schema.PHASE_SPELLINGS}
    if not notes.ends_with_newline and notes.last_phase not in known:
        raise ToolwearError(
            f"{name} is cut off: its last row ends in '{notes.last_phase or ''}'; copy it again."
        )


def _sentence(name: str, error: str, rows: int, header: list[str]) -> str:
    if "Could not skip initial" in error:
        return f"{name} holds no rows; record the run again or remove it."
    short = re.search(r"Expected (\d+) columns, got (\d+)", error)
    if short:
        row = re.search(r"Row #(\d+)", error)
        where = f"line {row.group(1)}" if row else f"a line after row {rows}"
        return (
            f"{name} {where} has {short.group(2)} cells instead of {short.group(1)}; the file is "
            "cut off or damaged, copy it again."
        )
    bad = re.search(r"In CSV column #(\d+):.*?(?:Row #(\d+):)?.*invalid value '([^']*)'", error)
    if bad:
        where = f" line {bad.group(2)}" if bad.group(2) else ""
        return (
            f"{name}{where}: '{bad.group(3)[:40]}' in column "
            f"'{header[int(bad.group(1))]}' is not a number; mend the cell."
        )
    return f"{name} can't be read as CSV ({error.splitlines()[0][:120]}); export it again."
