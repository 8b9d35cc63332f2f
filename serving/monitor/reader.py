"""Reads on in the payload log from where the state says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from serving.monitor.state import Position, State
from serving.payload import segments
from serving.payload.records import LABELS, REQUESTS, request_schema
from toolwear.common.tables import read_table
from toolwear.dataset import schema

_AT_ONCE = 5000  # rows; after each the state is written


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows of one file that have not been counted yet.

    Attributes:
        stem: of the file.
        rows: new ones; may be none.
        position: where the file has been read to, once these are counted.
    """

    stem: str
    rows: pd.DataFrame
    position: Position


class Reader:
    """Looks at a home's payload log.

    Args:
        home: the system's folder.
    """

    def __init__(self, home: Path) -> None:
        self._root = segments.folder(home)
        self._sizes: dict[str, int] = {}  # a file under way that has not grown is not read again

    def gone(self, state: State) -> list[str]:
        """Return the files that are gone, read or not."""
        there = {*self._stems(REQUESTS), *self._stems(LABELS)}
        return [stem for stem in state.positions if stem not in there]

    def requests(self, state: State) -> Iterator[Piece]:
        """Yield what is new in the files of requests, oldest first."""
        for piece in self._pieces(state, REQUESTS):
            # Files of an earlier version do not say it.
            for name in (schema.IS_CUTTING, schema.REGIME, "machine"):
                if name not in piece.rows:
                    piece.rows[name] = None
            yield piece

    def labels(self, state: State) -> Iterator[Piece]:
        """Yield what is new in the files of labels, oldest first."""
        yield from self._pieces(state, LABELS)

    def answers(self, receipts: set[str]) -> pd.DataFrame:
        """Return the rows of these answers, as far as the log still has them."""
        wanted = [("receipt_id", "in", sorted(receipts))]
        tables = (
            segments.tables(self._root, REQUESTS, lambda path: read_table(path, filters=wanted))
            if receipts
            else []
        )
        if not tables:
            return request_schema(()).empty_table().to_pandas()
        frame = pa.concat_tables(tables, promote_options="default").to_pandas()
        return frame[frame["receipt_id"].isin(receipts)]

    def _stems(self, kind: str) -> list[str]:
        return segments.stems(self._root, kind)

    def _pieces(self, state: State, kind: str) -> Iterator[Piece]:
        for stem in self._stems(kind):
            at = state.positions.get(stem, Position())
            if at.done or self._unchanged(stem):
                continue
            # Looked at before the rows: what ends meanwhile is seen as ended the next time.
            ended = (self._root / f"{stem}{segments.FINISHED}").exists()
            size = self._size(stem)
            table = segments.one(self._root, stem)
            if table is None:
                continue
            for start in range(at.rows, max(table.num_rows, at.rows + 1), _AT_ONCE):
                end = min(start + _AT_ONCE, table.num_rows)
                position = Position(rows=end, done=ended and end == table.num_rows)
                yield Piece(stem, table.slice(start, end - start).to_pandas(), position)
            self._sizes[stem] = size

    def _unchanged(self, stem: str) -> bool:
        return (
            self._size(stem) == self._sizes.get(stem, -1)
            and not (self._root / f"{stem}{segments.FINISHED}").exists()
        )

    def _size(self, stem: str) -> int:
        try:
            return (self._root / f"{stem}{segments.UNDER_WAY}").stat().st_size
        except FileNotFoundError:
            return -2
