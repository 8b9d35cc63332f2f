"""The rows of one run, handed out in time order and put back into stored order.

A short run is sorted in memory; one that is too long for it is sorted on disk by DuckDB and
handed out in chunks. Both give the same rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from toolwear.common.steps import report
from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet
from toolwear.features import order
from toolwear.features.logic import Run
from toolwear.features.telemetry import BATCH_ROWS

LONG_RUN_ROWS = 500_000
_SORT_MEMORY = "1GB"


class Recording(Protocol):
    """One run's rows and their order."""

    plan: order.Plan

    def time_order(self) -> Iterator[pd.DataFrame]:
        """Yield the rows in time order, with their time index and the time that goes with it."""

    def stored_order(self, frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Yield frames that are in time order in the stored order of their rows instead."""


@contextmanager
def recording(
    run: Run,
    pieces: Iterable[pd.DataFrame],
    dataset: DataSet,
    restore_order: bool,
    scratch: Path,
    long: int | None = None,
) -> Iterator[Recording]:
    """Open a run's rows in memory or, if they are many, in a folder below `scratch`.

    Args:
        run: that they are of.
        pieces: its rows in stored order.
        dataset: the data set's contract.
        restore_order: put rows that were stored out of the order of time into it.
        scratch: folder for what does not fit into memory.
        long: rows from which on there are many; by default `LONG_RUN_ROWS`.
    """
    if run.rows < (LONG_RUN_ROWS if long is None else long):
        frames = list(pieces)
        rows = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        yield _InMemory(rows, dataset, restore_order)
        return
    report(f"run {run.run_id} is long: its rows are sorted on disk")
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield _OnDisk(pieces, dataset, restore_order, Path(folder))


class _InMemory:
    def __init__(self, rows: pd.DataFrame, dataset: DataSet, restore: bool) -> None:
        self.plan = order.plan([rows], dataset, restore)
        self._rows = rows.copy(deep=False)
        self._rows[schema.TIME_INDEX] = self.plan.time_index(np.arange(len(rows)))

    def time_order(self) -> Iterator[pd.DataFrame]:
        if not self.plan.restored:
            yield self._rows
            return
        rows = self._rows.sort_values(schema.TIME_INDEX, ignore_index=True)
        # The clock of a shuffled recording ran on in stored order.
        rows[schema.EVENT_TIME] = self._rows[schema.EVENT_TIME].array
        yield rows

    def stored_order(self, frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for frame in frames:
            yield frame.sort_values(schema.ROW, ignore_index=True)


class _OnDisk:
    def __init__(
        self,
        pieces: Iterable[pd.DataFrame],
        dataset: DataSet,
        restore: bool,
        folder: Path,
    ) -> None:
        self._folder = folder
        self._stored = folder / "stored.parquet"
        self.plan = order.plan(_spilled(pieces, self._stored), dataset, restore)

    def time_order(self) -> Iterator[pd.DataFrame]:
        if not self.plan.restored:
            yield from self._indexed()
            return
        ordered = self._sorted(self._indexed(), schema.TIME_INDEX)
        for rows, clock in zip(_chunks(ordered), _chunks(self._stored), strict=True):
            rows[schema.EVENT_TIME] = clock[schema.EVENT_TIME].array
            yield rows

    def stored_order(self, frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        if self.plan.restored:
            frames = _chunks(self._sorted(frames, schema.ROW))
        yield from frames

    def _indexed(self) -> Iterator[pd.DataFrame]:
        done = 0
        for chunk in _chunks(self._stored):
            stored = np.arange(done, done + len(chunk))
            chunk[schema.TIME_INDEX] = self.plan.time_index(stored)
            done += len(chunk)
            yield chunk

    def _sorted(self, frames: Iterable[pd.DataFrame], column: str) -> Path:
        source = self._folder / "unsorted.parquet"
        target = self._folder / f"by-{column}.parquet"
        for _ in _spilled(frames, source):
            pass
        spill = str(self._folder / "spill")
        with duckdb.connect(
            config={"memory_limit": _SORT_MEMORY, "temp_directory": spill}
        ) as connection:
            rows = connection.read_parquet(str(source)).order(f'"{column}"')
            rows.write_parquet(str(target), row_group_size=BATCH_ROWS)
        source.unlink()
        return target


def _spilled(frames: Iterable[pd.DataFrame], path: Path) -> Iterator[pd.DataFrame]:
    """Yield the frames, each written to the file before the next is asked for."""
    writer: pq.ParquetWriter | None = None
    try:
        for frame in frames:
            table = pa.Table.from_pandas(frame, preserve_index=False)
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            yield frame
    finally:
        if writer is not None:
            writer.close()


def _chunks(path: Path) -> Iterator[pd.DataFrame]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield batch.to_pandas()
