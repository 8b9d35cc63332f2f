"""The features step: telemetry in, feature tables, training set and manifest out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.core import jsonfile, schema
from components.core.digest import files_digest, json_digest
from components.core.errors import ToolwearError
from components.core.fingerprint import ROOT
from components.core.steps import report
from components.features import order
from components.features.dataset import TRAINING_SET
from components.features.definitions import FEATURE_COLUMNS, FEATURE_SETS
from components.features.logic import Run, check_parameters, newest, samples
from components.features.long_run import LongRun
from components.features.names import LATEST_FILE
from components.features.store import FEATURES_FOLDER, TrainingSetJoin
from components.features.telemetry import read_rows, read_runs

PART_ROWS = 250_000
LONG_RUN_ROWS = 500_000  # from here on a run is sorted on disk and computed in chunks
_CODE = ("definitions", "windows", "compute", "order", "logic")


def features(
    telemetry: Path, restore_order: bool, window: int, stride: int, output: Path
) -> dict[str, Any]:
    """Write the features of all rows, the training set joined from them, and the newest rows.

    Args:
        telemetry: output folder of the ingest step.
        restore_order: restore the time order of rows stored in shuffled batches.
        window: cutting rows in a trailing window.
        stride: distance in cutting rows of the windows that become samples.
        output: folder to make.

    Returns:
        The manifest.

    Raises:
        ToolwearError: window or stride cannot be, or the telemetry holds too few cutting rows.
    """
    runs = read_runs(telemetry)
    check_parameters(window, stride, max(run.rows for run in runs.values()))
    orders: dict[str, Any] = {}
    latest: list[pd.DataFrame] = []
    with tempfile.TemporaryDirectory() as scratch, _Writer(output, Path(scratch)) as writer:
        for run_id, pieces in read_rows(telemetry):
            run = runs[run_id]
            last: pd.DataFrame | None = None
            for frame in _run_samples(
                run, pieces, restore_order, window, stride, Path(scratch), orders
            ):
                last = newest(frame, last)
                writer.add(frame)
            if last is not None:
                latest.append(last)
    if writer.counts[schema.IS_WINDOW] == 0:
        raise ToolwearError(
            f"No run has a window of {window} cutting rows; choose a shorter window."
        )
    _write(_latest_table(latest), output / LATEST_FILE)
    manifest = _manifest(telemetry, restore_order, window, stride, orders, writer)
    jsonfile.write(output / "manifest.json", manifest)
    return manifest


def _run_samples(
    run: Run,
    pieces: Iterator[pd.DataFrame],
    restore_order: bool,
    window: int,
    stride: int,
    scratch: Path,
    orders: dict[str, Any],
) -> Iterator[pd.DataFrame]:
    """Yield the run's keys and features in stored order, and note what became of its order."""
    if run.rows > LONG_RUN_ROWS:
        report(f"run {run.run_id}: {run.rows:,} rows are sorted on disk")
        with LongRun(pieces, restore_order, scratch) as long_run:
            orders[run.run_id] = long_run.plan.summary()
            yield from long_run.stored_order(samples(long_run.time_order(), run, window, stride))
        return
    rows = pd.concat(pieces, ignore_index=True)
    found = order.plan([rows], restore_order)
    orders[run.run_id] = found.summary()
    rows[schema.TIME_INDEX] = found.time_index(np.arange(len(rows)))
    in_time = rows.sort_values(schema.TIME_INDEX, kind="stable", ignore_index=True)
    if found.restored:
        # The clock of a shuffled recording ran on in stored order.
        in_time[schema.EVENT_TIME] = rows[schema.EVENT_TIME].sort_values(ignore_index=True)
    for frame in samples([in_time], run, window, stride):
        yield frame.sort_values(schema.ROW, kind="stable", ignore_index=True)


class _Writer:
    """Gathers frames into parts: each is written, joined by point in time and written again."""

    def __init__(self, output: Path, scratch: Path) -> None:
        self._offline = output / FEATURES_FOLDER
        self._training = output / TRAINING_SET
        for folder in (self._offline, self._training):
            folder.mkdir(parents=True)
        self._join = TrainingSetJoin(scratch / "feast")
        self._frames: list[pd.DataFrame] = []
        self._waiting = 0
        self._parts = 0
        self.rows = 0
        self.counts = {schema.IS_ACTIVE: 0, schema.IS_CUTTING: 0, schema.IS_WINDOW: 0}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()

    def add(self, frame: pd.DataFrame) -> None:
        """Take the next rows."""
        self._frames.append(frame)
        self._waiting += len(frame)
        if self._waiting >= PART_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._frames:
            return
        frame = pd.concat(self._frames, ignore_index=True)
        self._frames, self._waiting = [], 0
        name = f"part-{self._parts:05d}.parquet"
        part = self._offline / name
        _write(frame[[schema.SAMPLE_ID, schema.EVENT_TIME, *FEATURE_COLUMNS]], part)
        joined = self._join.join(frame, part)
        if joined.num_rows != len(frame):
            raise RuntimeError(f"{len(frame)} keys went into the join, {joined.num_rows} came out")
        keys = pa.Table.from_pandas(frame[list(schema.KEY_COLUMNS)], preserve_index=False)
        for column in FEATURE_COLUMNS:
            if column not in schema.KEY_COLUMNS:
                keys = keys.append_column(column, joined.column(column))
        pq.write_table(keys, self._training / name)
        self._parts += 1
        self.rows += len(frame)
        for column in self.counts:
            self.counts[column] += int(frame[column].sum())
        report(f"features of {self.rows:,} rows joined to the training set")


def _latest_table(frames: list[pd.DataFrame]) -> pd.DataFrame:
    columns = [schema.RUN_ID, schema.EVENT_TIME, schema.SAMPLE_ID, *FEATURE_COLUMNS]
    return pd.concat(frames, ignore_index=True)[columns]


def _write(frame: pd.DataFrame, path: Path) -> None:
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)


def _manifest(
    telemetry: Path,
    restore_order: bool,
    window: int,
    stride: int,
    orders: dict[str, Any],
    writer: _Writer,
) -> dict[str, Any]:
    here = Path(__file__).parent
    code = files_digest(
        ROOT, [*(here / f"{name}.py" for name in _CODE), ROOT / "components/core/schema.py"]
    )
    settings = {"restored_order": restore_order, "window": window, "stride": stride}
    source = jsonfile.read(telemetry / "manifest.json")["digest"]
    return {
        **settings,
        "feature_sets": {name: list(chosen.columns) for name, chosen in FEATURE_SETS.items()},
        "feature_set_reasons": {name: chosen.why for name, chosen in FEATURE_SETS.items()},
        "rows": writer.rows,
        "samples": writer.counts,
        "order": orders,
        "feature_code_digest": code,
        "digest": json_digest([source, settings, code]),
    }
