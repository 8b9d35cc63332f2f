"""One run's file as a stream of typed record batches."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from components.core import schema
from components.core.errors import ToolwearError
from components.ingest.damage import sentence
from components.ingest.newlines import UniversalNewlines

_BLOCK_BYTES = 8 << 20
_HEADER_BYTES = 1 << 16
NULLS = ("", "NaN", "nan", "NA", "null", "NULL")


@dataclass
class FileNotes:
    """What was odd about a file, gathered while it is read."""

    bare_carriage_returns: bool = False
    columns_reordered: bool = False


def read_batches(path: Path, notes: FileNotes) -> Iterator[pa.RecordBatch]:
    """Yield the file's rows as batches with the columns of `schema.RAW_COLUMNS` in that order.

    Memory is bounded by the block size, whatever the file's. Empty cells and NaN become null;
    blank lines are passed over.

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
    last_phase = None
    with path.open("rb") as raw:
        stream = UniversalNewlines(raw)
        try:
            for batch in _reader(stream, header):
                if batch.num_rows:
                    last_phase = batch.column(schema.PHASE)[-1].as_py()
                    yield batch
        except pa.ArrowInvalid as error:
            raise ToolwearError(sentence(path, header, NULLS, str(error))) from None
    notes.bare_carriage_returns = stream.bare_carriage_returns
    if last_phase is None:
        raise ToolwearError(f"{path.name} holds no rows; record the run again or remove it.")
    known = {*schema.PHASES, *schema.PHASE_SPELLINGS}
    if not stream.ends_with_newline and last_phase not in known:
        raise ToolwearError(
            f"{path.name} is cut off: its last row ends in '{last_phase}'; copy it again."
        )


def _reader(stream: UniversalNewlines, header: list[str]) -> pacsv.CSVStreamingReader:
    types = dict.fromkeys(schema.NUMERIC_COLUMNS, pa.float64()) | {schema.PHASE: pa.string()}
    return pacsv.open_csv(
        pa.PythonFile(stream, mode="r"),
        read_options=pacsv.ReadOptions(block_size=_BLOCK_BYTES, column_names=header, skip_rows=1),
        convert_options=pacsv.ConvertOptions(
            column_types=types,
            null_values=list(NULLS),
            include_columns=list(schema.RAW_COLUMNS),
        ),
    )


def _header(path: Path) -> list[str]:
    with path.open("rb") as raw:
        start = raw.read(_HEADER_BYTES)
    first = start.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n").split(b"\n", 1)[0]
    if not start.strip(b"\xef\xbb\xbf\r\n\t "):
        raise ToolwearError(f"{path.name} is empty; record the run again or remove it.")
    try:
        text = first.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ToolwearError(f"{path.name} is not UTF-8 text; export it again as CSV.")
    header = [name.strip() for name in next(csv.reader([text]), [])]
    missing = [name for name in schema.RAW_COLUMNS if name not in header]
    extra = [name for name in header if name not in schema.RAW_COLUMNS]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ToolwearError(
            f"{path.name} line 1 lacks the column '{missing[0]}'{more}; "
            f"export all {len(schema.RAW_COLUMNS)} columns."
        )
    if extra:
        raise ToolwearError(
            f"{path.name} line 1 has a column too many, '{extra[0][:40]}'; remove it."
        )
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise ToolwearError(f"{path.name} line 1 names the column '{twice}' twice; keep one.")
    return header
