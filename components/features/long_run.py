"""A run that is too long for memory: sorted on disk by DuckDB, read back in chunks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.core import schema
from components.features import order
from components.features.telemetry import BATCH_ROWS

_SORT_MEMORY = "1GB"


class LongRun:
    """The rows of one run, spilled to a folder that goes with the context.

    Attributes:
        plan: the order of its rows.
    """

    def __init__(self, pieces: Iterable[pd.DataFrame], restore: bool, scratch: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(dir=scratch)
        self._path = Path(self._folder.name)
        self.plan = order.plan(_spilled(pieces, self._path / "stored.parquet"), restore)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def time_order(self) -> Iterator[pd.DataFrame]:
        """Yield the rows in time order with their time index."""
        stored = self._path / "stored.parquet"
        if not self.plan.restored:
            yield from self._indexed(_chunks(stored))
            return
        _spill(self._indexed(_chunks(stored)), self._path / "indexed.parquet")
        ordered = self._sort("indexed", schema.TIME_INDEX)
        # The clock of a shuffled recording ran on in stored order.
        for rows, clock in zip(_chunks(ordered), _chunks(stored), strict=True):
            yield rows.assign(**{schema.EVENT_TIME: clock[schema.EVENT_TIME].to_numpy()})

    def stored_order(self, frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Yield frames that are in time order in the stored order of their rows instead."""
        if not self.plan.restored:
            yield from frames
            return
        _spill(frames, self._path / "samples.parquet")
        yield from _chunks(self._sort("samples", schema.ROW))

    def _indexed(self, chunks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        done = 0
        for chunk in chunks:
            stored = np.arange(done, done + len(chunk))
            done += len(chunk)
            yield chunk.assign(**{schema.TIME_INDEX: self.plan.time_index(stored)})

    def _sort(self, name: str, column: str) -> Path:
        source, target = self._path / f"{name}.parquet", self._path / f"{name}-sorted.parquet"
        settings = {"memory_limit": _SORT_MEMORY, "temp_directory": str(self._path / "sort")}
        with duckdb.connect(config={**settings, "TimeZone": "UTC"}) as connection:
            connection.read_parquet(str(source)).order(column).write_parquet(
                str(target), row_group_size=BATCH_ROWS
            )
        source.unlink()
        return target


def _spilled(pieces: Iterable[pd.DataFrame], path: Path) -> Iterator[pd.DataFrame]:
    """Yield the pieces, each written to the file before the next is asked for."""
    writer: pq.ParquetWriter | None = None
    try:
        for piece in pieces:
            table = pa.Table.from_pandas(piece, preserve_index=False)
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            yield piece
    finally:
        if writer is not None:
            writer.close()


def _spill(pieces: Iterable[pd.DataFrame], path: Path) -> None:
    for _ in _spilled(pieces, path):
        pass


def _chunks(path: Path) -> Iterator[pd.DataFrame]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield batch.to_pandas()
