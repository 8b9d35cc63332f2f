"""Rows that are too many for one request, cut so that each part holds all that its windows need."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple, Protocol

from toolwear.client.answers import History
from toolwear.client.errors import RequestRefusedError
from toolwear.common.request_limits import BODY_BYTES, ROWS

_OPEN, _COMMA, _CLOSE = b'{"instances":[', b",", b"]}"
Row = Mapping[str, float | str]


class _Places(Protocol):
    def __getitem__(self, _rows: slice, /) -> Table: ...


class Table(Protocol):
    """A pandas DataFrame, as far as it is needed; so the client does without pandas."""

    def __len__(self) -> int:
        """Return the number of its rows."""

    @property
    def iloc(self) -> _Places:
        """Give rows by place."""

    def to_dict(self, _orient: Literal["records"], /) -> list[dict[Any, Any]]:
        """Return its rows."""


class Line(NamedTuple):
    """A row on its way.

    Attributes:
        place: among the rows asked about.
        row: as it was given.
        text: as it is sent.
    """

    place: int
    row: Row
    text: bytes


@dataclass(frozen=True)
class Piece:
    """The rows of one request.

    Attributes:
        before: rows of earlier pieces that the windows of its own need.
        own: rows that it asks about.
        ends_window: whether any of these rows ends a window; if none does, the service refuses.
    """

    before: tuple[Line, ...]
    own: tuple[Line, ...]
    ends_window: bool = True

    @property
    def body(self) -> bytes:
        """The request's."""
        return body_of([line.text for line in (*self.before, *self.own)])

    @property
    def rows(self) -> tuple[Row, ...]:
        """All its rows, as they were given."""
        return tuple(line.row for line in (*self.before, *self.own))

    @property
    def places(self) -> tuple[int, ...]:
        """Of all its rows."""
        return tuple(line.place for line in (*self.before, *self.own))


def body_of(texts: Sequence[bytes]) -> bytes:
    """Return the body that asks about rows."""
    return _OPEN + _COMMA.join(texts) + _CLOSE


def text_of(value: Any) -> bytes:
    """Return a value as JSON.

    Raises:
        RequestRefusedError: JSON has no form for it, such as NaN.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:  # UnicodeEncodeError is one
        raise RequestRefusedError(f"The request cannot be sent as JSON: {error}.") from error


def lines(rows: Sequence[Row] | Table) -> Iterator[Line]:
    """Yield the rows; of a DataFrame only some are held twice at a time.

    Raises:
        RequestRefusedError: one is no mapping, or JSON has no form for it.
    """
    if isinstance(rows, Sequence):
        found: Iterable[Row] = rows
    else:
        starts = range(0, len(rows), ROWS)
        found = chain.from_iterable(rows.iloc[s : s + ROWS].to_dict("records") for s in starts)
    for place, row in enumerate(found):
        if not isinstance(row, Mapping):
            raise RequestRefusedError(f"Row {place} is no mapping of columns to values.")
        yield Line(place, row, text_of(dict(row)))


def whole(source: Iterator[Line], most_rows: int) -> tuple[Piece, Line | None]:
    """Return the rows that fit into one request, and the first that does not; None if all do."""
    own: list[Line] = []
    size = 0
    for line in source:
        size += len(line.text) + 1
        if own and (len(own) == most_rows or _too_long(size)):
            return Piece((), tuple(own)), line
        own.append(line)
    return Piece((), tuple(own)), None


def cut(source: Iterable[Line], history: History, most_rows: int) -> Iterator[Piece]:
    """Yield all rows in pieces, each behind the rows before it that its windows need.

    Args:
        source: consecutive rows of one recording.
        history: what the features of a row need.
        most_rows: of a piece.

    Raises:
        RequestRefusedError: the windows leave no room in a request for a row of its own.
    """
    before = _Before(history)
    own: list[Line] = []
    size = 0
    for line in source:
        if own and (
            len(before.lines) + len(own) == most_rows or _too_long(size + len(line.text) + 1)
        ):
            yield before.with_own(own)
            for one in own:
                before.add(one)
            own, size = [], sum(len(one.text) + 1 for one in before.lines)
            if len(before.lines) >= most_rows:
                raise RequestRefusedError(
                    f"The model needs {history.rows} cutting rows before a row, which leaves no "
                    f"room in a request of {most_rows} rows."
                )
        own.append(line)
        size += len(line.text) + 1
    yield before.with_own(own)


class _Before:
    """The newest cutting rows, as many as a window has, and where others stood between them.

    One row stands for all those between two cutting rows: features tell only adjacent rows from
    others. So a long pause of the machine does not crowd out the rows that matter.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self.lines: list[Line] = []
        self._counts: list[bool] = []

    def add(self, line: Line) -> None:
        """Let a row follow."""
        if not self._history.rows:
            return
        counts = self._history.counts(line.row)
        if not counts and self._counts and not self._counts[-1]:
            return
        self.lines.append(line)
        self._counts.append(counts)
        while sum(self._counts) > self._history.rows or not self._counts[0]:
            del self.lines[0], self._counts[0]
            if not self.lines:
                return

    def with_own(self, own: Sequence[Line]) -> Piece:
        """Return the piece that asks about rows that follow."""
        needed = self._history.rows - sum(self._counts)
        there = needed <= 0 or needed <= sum(self._history.counts(line.row) for line in own)
        return Piece(tuple(self.lines), tuple(own), there)


def _too_long(size: int) -> bool:
    return len(_OPEN) + size + len(_CLOSE) > BODY_BYTES
