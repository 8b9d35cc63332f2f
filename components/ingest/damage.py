"""Where exactly a run file is damaged. Read only once the fast reader has given up."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path

from components.core import schema
from components.ingest.newlines import UniversalNewlines


def sentence(path: Path, header: list[str], nulls: Collection[str], error: str) -> str:
    """Return one sentence that names file, line and column of the first damage and what to do.

    Args:
        path: the run file.
        header: the file's columns in the file's order.
        nulls: cells that stand for a missing number.
        error: the fast reader's words, used if this one finds no fault.
    """
    lines = _lines(path)
    next(lines, None)
    for number, (line, is_last) in enumerate(lines, start=2):
        fault = _fault(line, header, nulls, is_last=is_last)
        if fault:
            return f"{path.name} line {number}{fault}"
    return f"{path.name} can't be read as CSV ({error.splitlines()[0][:120]}); export it again."


def _fault(line: bytes, header: list[str], nulls: Collection[str], *, is_last: bool) -> str:
    if not line.strip(b"\n"):
        return ""
    try:
        cells = next(csv.reader([line.decode()]))
    except UnicodeDecodeError:
        return " is not UTF-8 text; export the file again as CSV."
    except csv.Error as error:
        return f" can't be read as CSV ({error}); export the file again."
    if len(cells) != len(header):
        what = f" has {len(cells)} cells rather than {len(header)}"
        if is_last and len(cells) < len(header):
            return f" is cut off: it{what}; copy the file again."
        return f"{what}; mend the line or export the file again."
    for column, cell in zip(header, cells, strict=True):
        if column != schema.PHASE and cell not in nulls and not _is_number(cell):
            return f": '{cell[:40]}' in column '{column}' is not a number; mend the cell."
    return ""


def _is_number(cell: str) -> bool:
    # Python reads "1_000" as a number, the fast reader does not.
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _lines(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield each line and whether it is the last one that is not blank."""
    with path.open("rb") as raw, io.BufferedReader(UniversalNewlines(raw), 1 << 20) as stream:
        waiting: list[bytes] = []
        for line in stream:
            if waiting and line.strip():
                yield from ((old, False) for old in waiting)
                waiting = []
            waiting.append(line)
        yield from ((old, True) for old in waiting[:1])
