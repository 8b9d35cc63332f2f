"""How a text file is written: what the contract says of it, and what its beginning tells."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from toolwear.common.errors import ToolwearError
from toolwear.dataset.contract import Format
from toolwear.dataset.text_stream import compression_of, decoded, encoding_of, unpacked

WHITE_SPACE = " "
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", WHITE_SPACE: "white space"}
_HEAD_BYTES = 1 << 18
_SAMPLE_LINES = 500
_WORD = re.compile(r'"[^"]*"|\S+')
_DOT = re.compile(r"[-+]?\d*\.\d+([eE][-+]?\d+)?|[-+]?\d+\.\d*[eE][-+]?\d+")
_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?|[-+]?\d+,\d*[eE][-+]?\d+")
_GROUP = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")  # 1,234: a decimal comma or thousands


@dataclass(frozen=True)
class TextFormat:
    """How one text file is written.

    Attributes:
        compression: "none" or what it is packed with.
        encoding: Python's name of it.
        separator: between two cells; a blank for any white space.
        decimal: the decimal mark.
        header_line: number of the line with the names of the columns, from 1.
        header: those names.
        lines: the first lines with rows.
    """

    compression: str
    encoding: str
    separator: str
    decimal: str
    header_line: int
    header: tuple[str, ...]
    lines: tuple[str, ...]

    def sample(self) -> tuple[tuple[str, ...], ...]:
        """Cells of the first rows, up to one that is no CSV."""
        rows: list[tuple[str, ...]] = []
        with suppress(csv.Error):
            rows.extend(map(tuple, cells_of(self.lines, self.separator)))
        return tuple(rows)

    @property
    def told(self) -> str:
        """The format for people."""
        packed = "" if self.compression == "none" else f", {self.compression}"
        return (
            f"separator {_NAMES[self.separator]}, decimal {_NAMES.get(self.decimal, 'dot')}, "
            f"{self.encoding}{packed}"
        )


def cells_of(lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    """Yield the cells of each line.

    Raises:
        csv.Error: a line is no CSV.
    """
    if separator == WHITE_SPACE:
        for line in lines:
            yield [word.strip('"') for word in _WORD.findall(line)]
    else:
        yield from csv.reader(lines, delimiter=separator)


def text_format(path: Path, stated: Format, known: Collection[str]) -> TextFormat:
    """Return how a file is written; what `stated` does not say is guessed.

    Args:
        path: the file.
        stated: what the contract says.
        known: names that columns may have; they speak for a separator.

    Raises:
        ToolwearError: the file is empty or no text, or the decimal mark can't be told.
    """
    compression = stated.compression or compression_of(path)
    with unpacked(path, compression) as stream:
        head = stream.read(_HEAD_BYTES)
    if not head.strip(b"\xef\xbb\xbf\xff\xfe\x00\r\n\t "):
        raise ToolwearError(f"{path.name} is empty; record the run again or remove it.")
    encoding = stated.encoding or encoding_of(path, head)
    try:
        text = decoded(head, encoding)
    except UnicodeDecodeError:
        raise ToolwearError(
            f"{path.name} is not {encoding} text, which dataset.toml says; mend [format] encoding."
        ) from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(head) == _HEAD_BYTES and len(lines) > 1:
        lines.pop()  # it may be cut
    at, declared = _header_at(lines)
    header = lines[at]
    try:
        separator = stated.separator or declared or _separator(header, known)
        first = tuple(islice((line for line in lines[at:] if line.strip()), _SAMPLE_LINES))
        rows = cells_of(first, separator)
        names = next(rows, [])
        decimal = stated.decimal or _decimal(path, rows)
    except csv.Error as error:
        raise ToolwearError(f"{path.name} can't be read as CSV ({error}).") from None
    return TextFormat(
        compression=compression,
        encoding=encoding,
        separator=separator,
        decimal=decimal,
        header_line=at + 1,
        header=tuple(name.strip() for name in names),
        lines=first[1:],
    )


def _header_at(lines: list[str]) -> tuple[int, str]:
    """Return where the header is, and the separator that a line of Excel's declares before it."""
    declared = ""
    for number, line in enumerate(lines):
        match = re.fullmatch(r'"?sep=(.|\\t)"?[,;]*', line.strip(" "), re.IGNORECASE)
        if match and not declared:
            declared = match[1].replace("\\t", "\t")
        elif line.strip():
            return number, declared
    return 0, declared


def _separator(header: str, known: Collection[str]) -> str:
    def speaks(separator: str) -> tuple[int, int]:
        names = [name.strip() for name in next(cells_of([header], separator), [])]
        return len(set(known).intersection(names)), len(names)

    best = max((",", ";", "\t", "|"), key=speaks)
    return best if speaks(best)[1] > 1 else WHITE_SPACE


def _decimal(path: Path, rows: Iterable[list[str]]) -> str:
    """Return the decimal mark: a dot, if any cell of the rows has one."""
    with_comma = []
    for row in rows:
        for cell in map(str.strip, row):
            if _DOT.fullmatch(cell):
                return "."
            if _COMMA.fullmatch(cell):
                with_comma.append(cell)
    if not with_comma:
        return "."
    if all(_GROUP.fullmatch(cell) for cell in with_comma):
        raise ToolwearError(
            f"{path.name}: '{with_comma[0]}' may be a number with a decimal comma or with a "
            'thousands separator; say decimal = "," under [format] in dataset.toml, or export '
            "without thousands separators."
        )
    return ","
