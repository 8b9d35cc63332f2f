"""Read telemetry run by run, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from toolwear.common.errors import ToolwearError
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import DataSet
from toolwear.features.definitions import definitions
from toolwear.features.logic import Run
from toolwear.features.pieces import order_columns

BATCH_ROWS = 131_072


def columns_read(dataset: DataSet) -> tuple[str, ...]:
    """Return the columns of the telemetry that features and their order need."""
    keys = (schema.RUN_ID, schema.ROW, schema.EVENT_TIME, dataset.phases.column)
    signals = definitions(dataset).raw_signals
    readers = (one.read_by for one in dataset.settings.values() if one.read_by)
    return tuple(dict.fromkeys((*keys, *signals, *order_columns(dataset), *readers)))


def read_runs(telemetry: Path) -> dict[str, Run]:
    """Return the runs of a telemetry folder by their id, in the order of their number.

    Raises:
        ToolwearError: it is no telemetry folder, or it holds no runs.
    """
    table = telemetry / "runs.parquet"
    if not table.is_file():
        raise ToolwearError(f"{telemetry.name} is no telemetry folder: it lacks runs.parquet.")
    frame = pd.read_parquet(table).sort_values("run_number", kind="stable")
    if frame.empty:
        raise ToolwearError(f"{telemetry.name} holds no runs; ingest at least one.")
    columns = [schema.RUN_ID, "rows", schema.LABEL, *contract.of(telemetry).settings]
    return {
        one[schema.RUN_ID]: Run(
            one[schema.RUN_ID],
            int(one["rows"]),
            {name: float(one[name]) for name in columns[3:]},
            int(one[schema.LABEL]),
        )
        for one in frame[columns].to_dict("records")
    }


def read_rows(telemetry: Path, dataset: DataSet) -> Iterator[tuple[str, Iterator[pd.DataFrame]]]:
    """Yield each run's id and its rows in stored order, in frames of at most `BATCH_ROWS`.

    Args:
        telemetry: output folder of the ingest step.
        dataset: its contract.
    """
    pieces_of_all = _pieces(telemetry, list(columns_read(dataset)))
    for run_id, pieces in groupby(pieces_of_all, key=lambda piece: piece[0]):
        yield run_id, (frame for _, frame in pieces)


def _pieces(telemetry: Path, columns: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    for part in sorted(telemetry.glob("part-*.parquet")):
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                frame = batch.to_pandas()
                run = frame[schema.RUN_ID].to_numpy()
                starts = np.flatnonzero(np.concatenate([[True], run[1:] != run[:-1]]))
                for start, end in zip(starts, [*starts[1:], len(run)], strict=True):
                    yield run[start], frame.iloc[start:end]
