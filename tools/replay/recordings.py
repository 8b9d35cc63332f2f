"""Recorded runs as a client would send them: raw rows in time order, with the run's settings."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from datasets.cnc_mill import names as mill
from serving.common.rows import RawColumns
from toolwear.dataset import contract
from toolwear.dataset.contract import DataSet
from toolwear.dataset.recordings import Recordings, recordings
from toolwear.dataset.run_file import FileNotes
from toolwear.dataset.run_table import Run, read_run_table, stretched
from toolwear.dataset.sources import file_digests, run_table_file
from toolwear.features.order import plan


@dataclass(frozen=True, eq=False)
class Recording:
    """A run.

    Attributes:
        run_id: its key, such as "07".
        worn: whether its tool was worn.
        rows: the columns of `RawColumns`, in time order, index from 0.
    """

    run_id: str
    worn: bool
    rows: pd.DataFrame

    @property
    def feedrate(self) -> float:
        """Its feed rate, mm/s."""
        return float(self.rows[mill.FEEDRATE].iloc[0])

    def requests(self, rows: int = 200) -> Iterator[list[dict[str, Any]]]:
        """Yield the instances of consecutive requests of at most so many rows."""
        for start in range(0, len(self.rows), rows):
            values = self.rows.iloc[start : start + rows].itertuples(index=False, name=None)
            yield [dict(zip(self.rows.columns, row, strict=True)) for row in values]

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
    dataset = contract.resolve("", data)
    file = run_table_file(data, dataset)
    table = read_run_table(file, dataset)[0] if file else []
    with tempfile.TemporaryDirectory() as scratch:
        digests = file_digests(data, dataset)
        found = recordings(data, dataset, digests, Path(scratch), by_label=True)
        return [
            _read(found, run, dataset)
            for run in (stretched(table, found.labels) if found.labels else table)
            if run.run_id in found.files
            and run.worn is not None
            and (not run_ids or run.run_id in run_ids)
        ]


def _read(found: Recordings, run: Run, dataset: DataSet) -> Recording:
    rows = pa.Table.from_batches(found.read(run.run_id, FileNotes())).to_pandas()
    rows = rows.iloc[np.argsort(plan([rows], dataset).time_index(np.arange(len(rows))))]
    rows = rows.reset_index(drop=True)
    rows = rows.assign(**run.settings)
    phases = dataset.phases
    rows[phases.column] = rows[phases.column].replace(dict(phases.spellings))
    return Recording(run.run_id, bool(run.worn), rows[list(RawColumns.of(dataset).names)])
