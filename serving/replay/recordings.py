"""Recorded runs as a client would send them: raw rows in time order, with the run's settings."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from components.core import schema
from components.core.errors import ToolwearError
from components.features.order import plan
from components.ingest.run_file import FileNotes, read_batches
from components.ingest.run_table import Run, read_run_table
from serving.common.rows import RAW_ROW


@dataclass(frozen=True, eq=False)
class Recording:
    """A run.

    Attributes:
        run_id: its key, such as "07".
        worn: whether its tool was worn.
        rows: the columns `RAW_ROW`, in time order, index from 0.
    """

    run_id: str
    worn: bool
    rows: pd.DataFrame

    @property
    def feedrate(self) -> float:
        """Its feed rate, mm/s."""
        return float(self.rows[schema.FEEDRATE].iloc[0])

    def requests(self, rows: int = 200) -> Iterator[list[dict[str, Any]]]:
        """Yield the instances of consecutive requests of at most so many rows."""
        for start in range(0, len(self.rows), rows):
            values = self.rows.iloc[start : start + rows].itertuples(index=False, name=None)
            yield [dict(zip(RAW_ROW, row, strict=True)) for row in values]

    def with_rows(self, rows: pd.DataFrame) -> Recording:
        """Return the same run with other rows."""
        return replace(self, rows=rows)


def read(data: Path, run_ids: Collection[str] = ()) -> list[Recording]:
    """Return the runs of a folder of recordings, by their number, in restored time order.

    Args:
        data: the folder.
        run_ids: which of them; empty for all.

    Raises:
        ToolwearError: it is no such folder, or a file is damaged.
    """
    table = data / schema.RUN_TABLE_FILE
    if not table.is_file():
        raise ToolwearError(f"{data} holds no {table.name}; give a folder of recordings.")
    runs = [run for run in read_run_table(table) if not run_ids or run.run_id in run_ids]
    return [_read(data / schema.RUN_FILE_PATTERN.format(number=run.number), run) for run in runs]


def _read(path: Path, run: Run) -> Recording:
    rows = pa.Table.from_batches(read_batches(path, FileNotes())).to_pandas()
    rows = rows.iloc[np.argsort(plan([rows]).time_index(np.arange(len(rows))))]
    rows = rows.reset_index(drop=True)
    rows[schema.FEEDRATE] = run.feedrate
    rows[schema.CLAMP_PRESSURE] = run.clamp_pressure
    rows[schema.PHASE] = rows[schema.PHASE].replace(schema.PHASE_SPELLINGS)
    return Recording(run.run_id, bool(run.worn), rows[list(RAW_ROW)])
