"""Recordings as JSON lines, one object a row: written as CSV, which the one reader reads."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import orjson

from toolwear.common.errors import ToolwearError
from toolwear.dataset.text_stream import compression_of, unpacked

_LINE_BYTES = 64 << 10
_BATCH = 1000


def is_json_lines(path: Path) -> bool:
    """Tell whether a file, packed or not, begins as an object of JSON."""
    with unpacked(path, compression_of(path)) as stream:
        return stream.read(_LINE_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def as_csv(path: Path, folder: Path, watch: Callable[[int], None]) -> Path:
    """Return a file of CSV with the same rows, of the same name.

    Args:
        path: JSON lines; the keys of the first are the columns.
        folder: an empty one, for it.
        watch: told the number of rows again and again.

    Raises:
        ToolwearError: a line is no object of plain values, or far too long.
    """
    target = folder / path.name
    with (
        unpacked(path, compression_of(path)) as stream,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        writer = csv.writer(out)
        columns: list[str] = []
        for row, line in enumerate(_lines(stream, path.name)):
            cells = _object(line, row, path.name)
            if not columns:
                columns = list(cells)
                writer.writerow(columns)
            writer.writerow([cells.get(name) for name in columns])
            if row % _BATCH == 0:
                watch(row)
    return target


def _lines(stream: BinaryIO, name: str) -> Iterator[bytes]:
    while line := stream.readline(_LINE_BYTES):
        if len(line) == _LINE_BYTES:
            raise ToolwearError(f"{name} has a line of more than {_LINE_BYTES} bytes.")
        if line.strip(b"\xef\xbb\xbf \t\r\n"):
            yield line.removeprefix(b"\xef\xbb\xbf")


def _object(line: bytes, row: int, name: str) -> dict[str, object]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ToolwearError(f"{name} has no valid JSON in row {row + 1}: {error}.") from None
    if not isinstance(found, dict):
        raise ToolwearError(f"{name} has no object of JSON in row {row + 1}.")
    nested = next((key for key, value in found.items() if isinstance(value, (dict, list))), None)
    if nested is not None:
        raise ToolwearError(
            f"{name} has more than one value in row {row + 1}, column {nested[:40]}."
        )
    return found
