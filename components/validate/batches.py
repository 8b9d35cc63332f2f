"""Telemetry as a stream of frames of bounded size, whatever the sizes of its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from toolwear.dataset import schema

# Derived columns that carry the sampling across the borders of batches.
ROW_STEP = "row_step"  # from the row before in the run; 1 is right, also for a run's row 0
TIME_STEP = "time_step"  # milliseconds from the row before in the run; missing at a run's start


def parts(telemetry: Path) -> list[Path]:
    """Return the telemetry's files in the order of the runs."""
    return sorted(telemetry.glob("part-*.parquet"))


def distinct_schemas(telemetry: Path) -> Iterator[tuple[Path, pa.Schema]]:
    """Yield each schema that occurs among the telemetry's files with the first file that has it."""
    seen: set[str] = set()
    for part in parts(telemetry):
        arrow = pq.read_schema(part).remove_metadata()
        if str(arrow) not in seen:
            seen.add(str(arrow))
            yield part, arrow


def batches(telemetry: Path, rows: int) -> Iterator[pa.Table]:
    """Yield the telemetry in order as tables of at most `rows` rows and one schema each.

    Small files and row groups are joined; where the schema changes, a new table begins.
    """
    pending: list[pa.RecordBatch] = []
    held = 0
    for part in parts(telemetry):
        # With buffering ahead, a file's row groups stay in memory until the file is closed.
        with pq.ParquetFile(part, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=rows):
                if pending and not batch.schema.equals(pending[0].schema):
                    yield pa.Table.from_batches(pending)
                    pending, held = [], 0
                while held + batch.num_rows >= rows:
                    head = rows - held
                    yield pa.Table.from_batches([*pending, batch.slice(0, head)])
                    batch, pending, held = batch.slice(head), [], 0
                if batch.num_rows:
                    pending.append(batch)
                    held += batch.num_rows
    if pending:
        yield pa.Table.from_batches(pending)


class Sampling:
    """Adds `ROW_STEP` and `TIME_STEP` to consecutive frames; remembers the last row between."""

    def __init__(self) -> None:
        self._last: pd.DataFrame | None = None

    def add_to(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with the two derived columns."""
        keys = frame[[schema.RUN_ID, schema.ROW, schema.EVENT_TIME]]
        before = keys if self._last is None else pd.concat([self._last, keys], ignore_index=True)
        previous = before.shift(1).iloc[-len(keys) :]
        self._last = keys.iloc[[-1]]
        same = keys[schema.RUN_ID].to_numpy() == previous[schema.RUN_ID].to_numpy()
        row = np.where(same, previous[schema.ROW].to_numpy(dtype=float), -1.0)
        elapsed = keys[schema.EVENT_TIME].array - previous[schema.EVENT_TIME].array
        milliseconds = pd.Series(elapsed).dt.total_seconds().to_numpy() * 1000
        return frame.assign(
            **{
                ROW_STEP: keys[schema.ROW].to_numpy(dtype=float) - row,
                TIME_STEP: np.where(same, milliseconds.round(3), np.nan),
            }
        )
