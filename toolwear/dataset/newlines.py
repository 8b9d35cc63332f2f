"""A byte stream with every kind of line end turned into a line feed, block by block."""

from __future__ import annotations

import io
from typing import BinaryIO

_CR, _LF = b"\r", b"\n"
_BLOCK = 1 << 20


class UniversalNewlines(io.RawIOBase):
    """Reads `source` with CR and CRLF as LF, so that a parser in C can take it from here.

    pyarrow's reader splits blocks at line feeds and would hold a file whose lines end in bare
    carriage returns in memory as one line.
    """

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._buffer = b""
        self._after_cr = False
        self.bare_carriage_returns = False
        self.ends_with_newline = False

    def readable(self) -> bool:
        """Return True; see `io.RawIOBase`."""
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        """Fill `target` and return the number of bytes; see `io.RawIOBase`."""
        while not self._buffer:
            block = self._source.read(_BLOCK)
            if not block:
                return 0
            self._buffer = self._translated(block)
        count = min(len(target), len(self._buffer))
        target[:count] = self._buffer[:count]
        self._buffer = self._buffer[count:]
        return count

    def _translated(self, block: bytes) -> bytes:
        if self._after_cr and block.startswith(_LF):
            block = block[1:]  # the second half of a CRLF whose CR has become a line feed
            if not block:
                self._after_cr = False
                return b""
        elif self._after_cr:
            self.bare_carriage_returns = True
        self._after_cr = block.endswith(_CR)
        if _CR in block:
            block = block.replace(b"\r\n", _LF)
            body = block[:-1] if self._after_cr else block
            if _CR in body:
                self.bare_carriage_returns = True
            block = block.replace(_CR, _LF)
        self.ends_with_newline = block.endswith(_LF)
        return block
