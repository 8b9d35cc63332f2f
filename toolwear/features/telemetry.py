"""Read telemetry run by run, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.dataset.limits import limit_columns
from toolwear.features.definitions import RAW_SIGNALS
from toolwear.features.logic import Run
from toolwear.features.pieces import ORDER_COLUMNS

BATCH_ROWS = 131_072
COLUMNS = tuple(
    dict.fromkeys(
        (schema.RUN_ID, schema.ROW, schema.EVENT_TIME, schema.PHASE, *RAW_SIGNALS, *ORDER_COLUMNS)
    )
)


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
    columns = [schema.RUN_ID, "rows", schema.FEEDRATE, schema.CLAMP_PRESSURE, schema.LABEL]
    return {
        run_id: Run(run_id, int(rows), float(feedrate), float(clamp), int(worn))
        for run_id, rows, feedrate, clamp, worn in frame[columns].itertuples(index=False)
    }


def read_rows(
    telemetry: Path, cutting: Sequence[str]
) -> Iterator[tuple[str, Iterator[pd.DataFrame]]]:
    """Yield each run's id and its rows in stored order, in frames of at most `BATCH_ROWS`.

    Args:
        telemetry: output folder of the ingest step.
        cutting: limits whose columns are read, too.
    """
    columns = list(dict.fromkeys((*COLUMNS, *limit_columns(cutting))))
    for run_id, pieces in groupby(_pieces(telemetry, columns), key=lambda piece: piece[0]):
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
