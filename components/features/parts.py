"""Gather rows into Parquet parts: each is written, joined by point in time, and written again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.features.join import TrainingSetJoin
from toolwear.common.steps import report
from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet, key_columns
from toolwear.features.dataset import TRAINING_SET
from toolwear.features.definitions import definitions
from toolwear.features.names import FEATURES_FOLDER

PART_ROWS = 250_000


class PartWriter:
    """Writes the feature table and the training set, in parts of about `PART_ROWS` rows.

    Attributes:
        rows: rows written.
        samples: of those, how many are active, cutting and windows.
    """

    def __init__(self, output: Path, scratch: Path, dataset: DataSet) -> None:
        self._keys, self._features = list(key_columns(dataset)), definitions(dataset).columns
        self.rows = 0
        self.samples = {schema.IS_ACTIVE: 0, schema.IS_CUTTING: 0, schema.IS_WINDOW: 0}
        self._offline = output / FEATURES_FOLDER
        self._training = output / TRAINING_SET
        for folder in (self._offline, self._training):
            folder.mkdir(parents=True)
        self._join = TrainingSetJoin(scratch / "feast", dataset)
        self._frames: list[pd.DataFrame] = []
        self._waiting = 0
        self._parts = 0

    def add(self, frame: pd.DataFrame) -> None:
        """Take the next keys and features; `flush` after the last."""
        self._frames.append(frame)
        self._waiting += len(frame)
        if self._waiting >= PART_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what has been gathered as one part."""
        if not self._frames:
            return
        frame = pd.concat(self._frames, ignore_index=True)
        self._frames, self._waiting = [], 0
        name = f"part-{self._parts:05d}.parquet"
        self._parts += 1
        part = self._offline / name
        write(frame[[schema.SAMPLE_ID, schema.EVENT_TIME, *self._features]], part)
        pq.write_table(self._training_set(frame, part), self._training / name)
        self.rows += len(frame)
        for column in self.samples:
            self.samples[column] += int(frame[column].sum())
        report(f"features of {self.rows:,} rows joined to the training set")

    def _training_set(self, frame: pd.DataFrame, part: Path) -> pa.Table:
        joined = self._join.join(frame, part)
        table = pa.Table.from_pandas(frame[self._keys], preserve_index=False)
        if joined.num_rows != table.num_rows:
            raise RuntimeError(f"of {table.num_rows} keys the join returned {joined.num_rows}")
        for column in self._features:
            if column not in self._keys:
                table = table.append_column(column, joined.column(column))
        return table


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame without its index."""
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
