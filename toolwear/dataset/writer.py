"""Typed Parquet parts, written in a stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet
from toolwear.dataset.run_file import raw_schema

ROW_GROUP_ROWS = 131_072
ROWS_PER_PART = 1_000_000
# The recordings carry no clock. Runs get a day each from here on, in the order of their numbers.
FIRST_DAY = datetime(2018, 1, 1, tzinfo=UTC)

_TIME = pa.timestamp("us", tz="UTC")


def run_start(number: int) -> datetime:
    """Return the time that stands for the first row of a run."""
    return FIRST_DAY + timedelta(days=number)


def keyed(
    run: str, first_row: int, batch: pa.RecordBatch, period: float, before: int = 0
) -> pa.RecordBatch:
    """Return rows of a run as telemetry: with its id, their place in it, and their time.

    Args:
        run: its key.
        first_row: place of the first of the rows.
        batch: raw columns.
        period: seconds from row to row.
        before: rows of its recording before the run begins.
    """
    count = batch.num_rows
    rows = np.arange(first_row, first_row + count)
    start = round(run_start(int(schema.recording_of(run))).timestamp() * 1_000_000)
    times = start + (before + rows) * round(period * 1_000_000)
    keys = {
        schema.RUN_ID: pa.repeat(run, count),
        schema.ROW: pa.array(rows),
        schema.EVENT_TIME: pa.array(times).cast(_TIME),
    }
    names = [*keys, *batch.schema.names]
    return pa.RecordBatch.from_arrays([*keys.values(), *batch.columns], names=names)


def telemetry_schema(dataset: DataSet) -> pa.Schema:
    """Return the columns of the telemetry that ingest makes of a data set."""
    nothing = pa.RecordBatch.from_pylist([], raw_schema(dataset))
    return keyed(schema.run_id(0), 0, nothing, dataset.recordings.sample_period_seconds).schema


class PartWriter:
    """Writes batches of runs to `part-NNNNN.parquet`; use as a context manager.

    A part ends with a run once it holds `ROWS_PER_PART` rows, so that the rows of a run stay
    together and in order. Memory is bounded by a row group.

    Args:
        folder: for the parts.
        period: seconds from row to row.
    """

    def __init__(self, folder: Path, period: float) -> None:
        self._folder = folder
        self._period = period
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._rows_waiting = self._rows_in_part = self._parts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush()
        self._close()

    def write(self, run: str, first_row: int, batch: pa.RecordBatch, before: int = 0) -> None:
        """Append rows of a run, the first of which stands at `first_row`; else as `keyed`."""
        self._waiting.append(keyed(run, first_row, batch, self._period, before))
        self._rows_waiting += batch.num_rows
        if self._rows_waiting >= ROW_GROUP_ROWS:
            self._flush()

    def end_run(self) -> None:
        """Say that a run is whole: a new part may begin."""
        if self._rows_in_part + self._rows_waiting >= ROWS_PER_PART:
            self._flush()
            self._close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            path = self._folder / f"part-{self._parts:05d}.parquet"
            self._writer = pq.ParquetWriter(path, self._waiting[0].schema, compression="zstd")
            self._parts += 1
        table = pa.Table.from_batches(self._waiting)
        self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self._rows_in_part += table.num_rows
        self._waiting, self._rows_waiting = [], 0

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._rows_in_part = None, 0
