"""The text of a file, whatever it is packed and encoded in, as a stream of UTF-8 lines."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from toolwear.common.errors import ToolwearError
from toolwear.dataset.newlines import UniversalNewlines

NONE = "none"
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_OTHER_KINDS = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF document",
    b"\x89HDF": "an HDF5 file",
    b"MATLAB": "a MATLAB file",
}
_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    # UTF-32 first: its mark begins with that of UTF-16.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BLOCK = 1 << 20
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1a"))


def compression_of(path: Path) -> str:
    """Return what a file is packed with, by its first bytes.

    Raises:
        ToolwearError: it is a file of another kind, such as a workbook.
    """
    with path.open("rb") as raw:
        start = raw.read(8)
    for magic, kind in _OTHER_KINDS.items():
        if start.startswith(magic):
            raise ToolwearError(
                f"{path.name} is {kind}, not text; export it as CSV or Parquet, unpacked or .gz."
            )
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), NONE)


@contextmanager
def unpacked(path: Path, compression: str) -> Iterator[BinaryIO]:
    """Open a file's bytes, unpacked as they are read.

    Raises:
        ToolwearError: what it is packed in is damaged.
    """
    with ExitStack() as stack:
        try:
            yield stack.enter_context(_opened(path, compression))
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, pa.ArrowException) as error:
            raise _damaged(path, compression) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise _damaged(path, compression) from error  # bz2 and zstd say it this way


def _damaged(path: Path, compression: str) -> ToolwearError:
    return ToolwearError(
        f"{path.name} can't be unpacked ({compression}): it is cut off or damaged; copy it again."
    )


def _opened(path: Path, compression: str) -> Any:
    if compression == "gzip":
        return gzip.open(path)
    if compression == "bz2":
        return bz2.open(path)
    if compression == "xz":
        return lzma.open(path)
    if compression == "zstd":
        return pa.input_stream(str(path), compression="zstd")
    return path.open("rb")


def encoding_of(path: Path, head: bytes) -> str:
    """Return the encoding of a text by its first bytes.

    Raises:
        ToolwearError: it is no text.
    """
    for mark, name in _BOMS.items():
        if head.startswith(mark):
            return name
    for name in ("utf-16-le", "utf-16-be"):
        # Half of plain text in UTF-16 are NULs, all on one side.
        zeros = head[1::2] if name == "utf-16-le" else head[::2]
        if len(head) > 3 and zeros.count(0) > 0.8 * len(zeros):
            return name
    for name in ("utf-8", "cp1252"):
        try:
            decoded(head, name)
        except UnicodeDecodeError:
            continue
        # Both have these characters as bytes of their own.
        if len(head.translate(None, _CONTROL)) == len(head):
            return name
    raise ToolwearError(f"{path.name} is not text; export it again as CSV or Parquet.")


def decoded(head: bytes, encoding: str) -> str:
    """Return the text of a file's first bytes, without a mark, up to a character that is cut."""
    return codecs.getincrementaldecoder(encoding)().decode(head).removeprefix("\ufeff")


class Utf8(io.RawIOBase):
    """Reads `source` in another encoding as UTF-8, block by block."""

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        super().__init__()
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._buffer = b""
        self._ended = False

    def readable(self) -> bool:
        """Return True; see `io.RawIOBase`."""
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        """Fill `target` and return the number of bytes; see `io.RawIOBase`."""
        while not self._buffer and not self._ended:
            block = self._source.read(_BLOCK)
            self._ended = not block
            self._buffer = self._decoder.decode(block, final=self._ended).encode()
        count = min(len(target), len(self._buffer))
        target[:count] = self._buffer[:count]
        self._buffer = self._buffer[count:]
        return count


@contextmanager
def lines_of(path: Path, compression: str, encoding: str) -> Iterator[UniversalNewlines]:
    """Open a file's text as UTF-8 whose lines end in a line feed.

    Raises:
        ToolwearError: it is damaged, or not in that encoding.
    """
    with unpacked(path, compression) as raw:
        try:
            source: Any = raw if encoding in ("utf-8", "utf-8-sig") else Utf8(raw, encoding)
            yield UniversalNewlines(source)
        except UnicodeDecodeError as error:
            raise ToolwearError(
                f"{path.name} is not {error.encoding} text all through; export it again, or say "
                "its encoding under [format] in dataset.toml."
            ) from None
