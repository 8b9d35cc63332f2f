"""Recordings to look at: the recorded runs of the latest training, and uploaded files.

An uploaded file is in a temporary folder while it is read, and gone with the answer.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from serving.console import evidence
from serving.console.parts import ServedModel
from toolwear.common.errors import ToolwearError
from toolwear.common.tables import read_frame, see_table
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import DataSet
from toolwear.dataset.limits import limit_columns
from toolwear.features import order
from toolwear.features.compute import compute
from toolwear.features.contradictions import contradictions
from toolwear.features.pieces import ORDER_COLUMNS
from toolwear.scoring.reading import usable
from toolwear.workspace.home import Home

MOST_BYTES = 10 << 20
MOST_ROWS = 30_000
_NAME = "The file"  # what the reader's sentences call it


@dataclass(frozen=True, eq=False)
class Recording:
    """One run's telemetry.

    Attributes:
        name: for people.
        frame: all raw columns, the feed rate and the clamp pressure, in time order.
        condition: what an inspector said of the tool; empty if nobody has.
        restored: the rows were not in the order of time, and were put into it.
        warnings: where the telemetry contradicts the stated settings, one sentence each.
    """

    name: str
    frame: pd.DataFrame
    condition: str
    restored: bool
    warnings: tuple[str, ...] = ()

    @property
    def settings(self) -> str:
        """The settings in words."""
        first = self.frame.iloc[0]
        return (
            f"feed rate {first[schema.FEEDRATE]:g} mm/s, "
            f"clamp pressure {first[schema.CLAMP_PRESSURE]:g} bar"
        )

    @property
    def seconds(self) -> np.ndarray:
        """Time since the first row, float64 (rows,)."""
        return np.arange(len(self.frame)) * schema.SAMPLE_PERIOD_SECONDS

    def features(self, served: ServedModel) -> np.ndarray:
        """Return the model's features, float64 (rows, features); NaN where a row has none."""
        table = compute(self.frame, served.spec.window, served.spec.cutting)
        return table[list(served.features)].to_numpy(dtype=np.float64)


def telemetry(home: Home) -> Path | None:
    """Return the recordings of the latest run, if there are any."""
    latest = evidence.latest(home)
    return evidence.artifact(home, latest, "ingest", "telemetry") if latest else None


def table(home: Home) -> pd.DataFrame:
    """Return the table of recorded runs; empty if there is none."""
    folder = telemetry(home)
    if folder is None:
        return pd.DataFrame(columns=[schema.RUN_ID])
    return read_frame(folder / "runs.parquet")


def recorded(home: Home, run_id: str) -> Recording | None:
    """Return a recorded run, None if there is none of this key."""
    folder = telemetry(home)
    runs = table(home)
    chosen = runs[runs[schema.RUN_ID] == run_id]
    if folder is None or chosen.empty:
        return None
    about = chosen.iloc[0]
    parts = [see_table(part) for part in sorted(folder.glob("part-*.parquet"))]
    rows = ds.dataset(parts, format="parquet").to_table(
        columns=list(schema.RAW_COLUMNS), filter=ds.field(schema.RUN_ID) == run_id
    )
    return _recording(
        f"run {run_id}",
        rows.to_pandas(),
        float(about[schema.FEEDRATE]),
        float(about[schema.CLAMP_PRESSURE]),
        str(about[schema.CONDITION]),
        contract.of(folder).rows.cutting,
    )


def uploaded(
    content: BinaryIO, name: str, feedrate: str, clamp_pressure: str, dataset: DataSet
) -> Recording:
    """Return the recording of an uploaded file.

    Args:
        content: of the file.
        name: of the file, for people.
        feedrate: mm/s, as typed.
        clamp_pressure: bar, as typed.
        dataset: the contract of the recordings that are known.

    Raises:
        ToolwearError: it is not one recording; the sentence says what to mend.
    """
    feed = _number(feedrate, "feed rate", "mm/s")
    clamp = _number(clamp_pressure, "clamp pressure", "bar")
    with tempfile.TemporaryDirectory(prefix="toolwear-") as folder:
        path = Path(folder) / _NAME
        with path.open("wb") as stream:
            shutil.copyfileobj(content, stream)
        # Packed files unpack to more than what was sent.
        batches, count = [], 0
        for batch in usable(path, dataset, _NAME):
            batches.append(batch)
            count += batch.num_rows
            if count > MOST_ROWS:
                raise ToolwearError(f"{_NAME} has more than {MOST_ROWS:,} rows; send one run.")
    frame = pa.Table.from_batches(batches).to_pandas()
    settings = {schema.FEEDRATE: feed, schema.CLAMP_PRESSURE: clamp}
    found = _recording(name, frame, feed, clamp, "", dataset.rows.cutting)
    return replace(found, warnings=tuple(contradictions(frame, settings, dataset.rows.cutting)))


def _recording(
    name: str,
    frame: pd.DataFrame,
    feed: float,
    clamp: float,
    condition: str,
    cutting: tuple[str, ...],
) -> Recording:
    frame = frame.assign(**{schema.FEEDRATE: feed, schema.CLAMP_PRESSURE: clamp})
    plan = order.plan([frame[[*{*ORDER_COLUMNS, *limit_columns(cutting)}]]], cutting)
    if plan.restored:
        stored = np.argsort(plan.time_index(np.arange(len(frame))), kind="stable")
        frame = frame.iloc[stored].reset_index(drop=True)
    return Recording(name, frame, condition, plan.restored)


def _number(text: str, what: str, unit: str) -> float:
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ToolwearError(
            f"Give the {what} of this recording in {unit}, as a positive number; the answer "
            "depends on it."
        )
    return value
