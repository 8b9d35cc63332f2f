"""Line ends are translated in a stream, wherever the blocks are cut."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from toolwear.dataset import newlines
from toolwear.dataset.newlines import UniversalNewlines

_PIECES = st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"1,2", b'"'])


class _Dribble(io.RawIOBase):
    """A source that hands out blocks of the given sizes, then whatever is left."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        super().__init__()
        self._rest, self._sizes = content, sizes

    def read(self, size: int = -1) -> bytes:
        count = self._sizes.pop(0) if self._sizes else newlines._BLOCK
        block, self._rest = self._rest[:count], self._rest[count:]
        return block


def _through(content: bytes, sizes: list[int]) -> tuple[bytes, UniversalNewlines]:
    source: Any = _Dribble(content, list(sizes))
    stream = UniversalNewlines(source)
    return stream.read(), stream


@given(st.lists(_PIECES, max_size=30), st.lists(st.integers(1, 4), max_size=40))
def test_every_line_end_becomes_one_line_feed(pieces: list[bytes], sizes: list[int]) -> None:
    content = b"".join(pieces)
    expected = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert _through(content, sizes)[0] == expected


@given(st.lists(st.integers(1, 4), max_size=40))
def test_bare_carriage_returns_are_told_from_crlf(sizes: list[int]) -> None:
    assert _through(b"a\rb\rc", sizes)[1].bare_carriage_returns
    assert not _through(b"a\r\nb\r\nc\r\n", sizes)[1].bare_carriage_returns
    assert not _through(b"a\nb\n", sizes)[1].bare_carriage_returns


@given(st.lists(st.integers(1, 4), max_size=40))
def test_the_last_line_end_is_noticed(sizes: list[int]) -> None:
    assert _through(b"a\r\nb\r\n", sizes)[1].ends_with_newline
    assert _through(b"a\rb\r", sizes)[1].ends_with_newline
    assert not _through(b"a\r\nb", sizes)[1].ends_with_newline


def test_small_reads_lose_nothing() -> None:
    content = b"1,2,3\r4,5,6\r\n" * 1000
    stream = UniversalNewlines(io.BytesIO(content))
    parts = []
    while part := stream.read(7):
        parts.append(part)
    assert b"".join(parts) == b"1,2,3\n4,5,6\n" * 1000
