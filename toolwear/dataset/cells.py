"""Blocks of lines turned into typed columns: fast where all is as it should be, else cell by cell.

The slow way knows every spelling of a missing number, and names the place of what is no number.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from toolwear.common.errors import ToolwearError
from toolwear.dataset.nulls import SPELLINGS, is_null
from toolwear.dataset.text_format import WHITE_SPACE, TextFormat, cells_of

# Arrow's own pool takes its arenas at first use, at times for longer than a recording is read.
POOL = pa.system_memory_pool()
_THOUSANDS = re.compile(r"[-+]?\d{1,3}([.,' \u2019\u00a0\u202f]\d{3})+([.,]\d+)?")


@dataclass(frozen=True)
class Layout:
    """Where the wanted columns are in a text file.

    Attributes:
        path: the file.
        format: how it is written.
        numbers: positions of the columns of numbers, by name.
        phase: name of the column of phases; empty if there is none.
        texts: positions of the columns that are read as text, by name; that of phases is the first.
    """

    path: Path
    format: TextFormat
    numbers: dict[str, int]
    phase: str
    texts: dict[str, int]

    @property
    def wanted(self) -> dict[str, int]:
        """Positions of all columns that are read, in the order in which they are handed out."""
        return {**self.numbers, **self.texts}


def columns(block: bytes, layout: Layout, first_line: int, *, is_last: bool) -> pa.Table:
    """Return the wanted columns of whole lines; a missing number is null.

    Nothing of pyarrow's runs on when this returns or raises: a thread of its own that still reads
    when the interpreter ends would abort the process.

    Args:
        block: UTF-8 lines that end in line feeds.
        layout: what they hold.
        first_line: number of the first of them in the file.
        is_last: whether the file ends here.

    Raises:
        ToolwearError: a line is damaged; the sentence names the place.
    """
    if layout.format.separator != WHITE_SPACE:
        try:
            return _fast(block, layout)
        except pa.ArrowInvalid:
            pass  # the slow way knows more, and finds the place of what is wrong
    return _slow(block, layout, first_line, is_last=is_last)


def _fast(block: bytes, layout: Layout) -> pa.Table:
    names = [f"\0{i}" for i in range(len(layout.format.header))]
    for name, place in layout.wanted.items():
        names[place] = name
    types = dict.fromkeys(layout.numbers, pa.float64()) | dict.fromkeys(layout.texts, pa.string())
    return pacsv.read_csv(
        pa.BufferReader(block),
        pacsv.ReadOptions(use_threads=False, block_size=max(len(block), 1) + 1, column_names=names),
        pacsv.ParseOptions(delimiter=layout.format.separator),
        pacsv.ConvertOptions(
            column_types=types,
            include_columns=list(layout.wanted),
            null_values=list(SPELLINGS),
            decimal_point=layout.format.decimal,
        ),
        POOL,
    )


def _slow(block: bytes, layout: Layout, first_line: int, *, is_last: bool) -> pa.Table:
    rows = list(_rows(block, layout, first_line, is_last=is_last))
    found = {}
    for name, place in layout.wanted.items():
        cells = [(line, row[place]) for line, row in rows]
        if name in layout.numbers:
            column = layout.format.header[place]
            values = [_number(cell, layout, line, column) for line, cell in cells]
            found[name] = pa.array(values, pa.float64())
        else:
            found[name] = pa.array([cell.strip() for _, cell in cells], pa.string())
    return pa.table(found)


def _rows(
    block: bytes, layout: Layout, first_line: int, *, is_last: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line that is not blank, and its cells."""
    lines = block.split(b"\n")
    last = max((i for i, line in enumerate(lines) if line.strip()), default=0)
    for index, raw in enumerate(lines):
        if not raw.strip():
            continue
        where = f"{layout.path.name} line {first_line + index}"
        try:
            row = next(cells_of([raw.decode()], layout.format.separator))
        except UnicodeDecodeError:
            raise ToolwearError(
                f"{where} is not UTF-8 text; export the file again, or say its encoding under "
                "[format] in dataset.toml."
            ) from None
        except csv.Error as error:
            raise ToolwearError(
                f"{where} can't be read as CSV ({error}); export the file again."
            ) from None
        row = _joined(row, layout)
        wanted = len(layout.format.header)
        if len(row) != wanted:
            what = f"has {len(row)} cells rather than {wanted}"
            if is_last and index == last and len(row) < wanted:
                raise ToolwearError(f"{where} is cut off: it {what}; copy the file again.")
            raise ToolwearError(f"{where} {what}; mend the line or export the file again.")
        yield first_line + index, row


def _joined(row: list[str], layout: Layout) -> list[str]:
    """Put the words of a phase together where white space stands between cells, too."""
    surplus = len(row) - len(layout.format.header)
    if layout.format.separator != WHITE_SPACE or surplus <= 0 or not layout.phase:
        return row
    place = layout.texts[layout.phase]
    end = place + surplus + 1
    return [*row[:place], " ".join(row[place:end]), *row[end:]]


def _number(cell: str, layout: Layout, line: int, column: str) -> float | None:
    text = cell.strip()
    # Nothing but white space says neither that a number is there nor that it is missing.
    if is_null(text) and bool(text) == bool(cell):
        return None
    decimal = layout.format.decimal
    plain = text.replace(",", ".") if decimal == "," and "." not in text else text
    try:
        # Python reads "1_000" and digits of other scripts as numbers, too.
        if plain.isascii() and "_" not in plain:
            return float(plain)
    except ValueError:
        pass
    raise ToolwearError(
        f"{layout.path.name} line {line}: '{cell[:40]}' in column '{column}' "
        f"{_what(text, decimal)}."
    )


def _what(text: str, decimal: str) -> str:
    if not text:
        return "is nothing but white space; leave it empty or write NaN if the number is missing"
    if _THOUSANDS.fullmatch(text):
        return (
            "has a thousands separator, or another decimal mark than the rest; export the file "
            "without thousands separators, or say decimal under [format] in dataset.toml"
        )
    mark = " with a decimal comma" if decimal == "," else ""
    return f"is not a number{mark}; mend the cell"


def blocks(stream: io.RawIOBase, header_line: int, size: int) -> Iterator[tuple[int, bytes, bool]]:
    """Yield the number of the first line, whole lines of about `size` bytes, and if they end it.

    Args:
        stream: of lines that end in line feeds; see `text_stream.lines_of`.
        header_line: those up to this one are passed over.
        size: bytes; four times as many without a line end are refused.

    Raises:
        ToolwearError: a line is too long to be one of a recording.
    """
    rest = b""
    line = 1
    passed = header_line
    while True:
        block = stream.read(size) or b""
        whole = rest + block
        while passed and b"\n" in whole:
            whole = whole[whole.index(b"\n") + 1 :]
            passed -= 1
            line += 1
        if not block:
            if whole and not passed:
                yield line, whole, True
            return
        cut = 0 if passed else whole.rfind(b"\n") + 1
        if cut:
            yield line, whole[:cut], False
            line += whole.count(b"\n", 0, cut)
        rest = whole[cut:]
        if len(rest) > 4 * size:
            raise ToolwearError(f"line {line} has no end; is it a text file of one row a line?")
