"""Recordings to look at: the recorded runs of the latest training, and uploaded files.

An uploaded file is in a temporary folder while it is read, and gone with the answer.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
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
from toolwear.features import order
from toolwear.features.compute import compute
from toolwear.features.contradictions import contradictions
from toolwear.features.pieces import order_columns
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
        frame: all raw columns and the settings, in time order.
        dataset: the contract that it was read by.
        condition: what an inspector said of the tool; empty if nobody has.
        restored: the rows were not in the order of time, and were put into it.
        warnings: where the telemetry contradicts the stated settings, one sentence each.
    """

    name: str
    frame: pd.DataFrame
    dataset: DataSet
    condition: str
    restored: bool
    warnings: tuple[str, ...] = ()

    @property
    def settings(self) -> str:
        """The settings in words."""
        first = self.frame.iloc[0]
        return ", ".join(
            f"{one.title or name} {first[name]:g} {one.unit}".rstrip()
            for name, one in self.dataset.settings.items()
        )

    @property
    def seconds(self) -> np.ndarray:
        """Time since the first row, float64 (rows,)."""
        return np.arange(len(self.frame)) * self.dataset.recordings.sample_period_seconds

    @property
    def judged(self) -> np.ndarray:
        """Which rows are in a phase that is judged, bool (rows,)."""
        found: np.ndarray = (
            self.frame[self.dataset.phases.column].isin(self.dataset.rows.judged).to_numpy()
        )
        return found

    def features(self, served: ServedModel) -> np.ndarray:
        """Return the model's features, float64 (rows, features); NaN where a row has none."""
        table = compute(self.frame, served.spec.window, served.spec.dataset)
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
    dataset = contract.of(folder)
    parts = [see_table(part) for part in sorted(folder.glob("part-*.parquet"))]
    rows = ds.dataset(parts, format="parquet").to_table(
        columns=list(dataset.raw), filter=ds.field(schema.RUN_ID) == run_id
    )
    return _recording(
        f"run {run_id}",
        rows.to_pandas(),
        {setting: float(about[setting]) for setting in dataset.settings},
        str(about[schema.CONDITION]),
        dataset,
    )


def uploaded(content: BinaryIO, name: str, typed: Mapping[str, str], dataset: DataSet) -> Recording:
    """Return the recording of an uploaded file.

    Args:
        content: of the file.
        name: of the file, for people.
        typed: the settings by name, as typed.
        dataset: the contract of the recordings that are known.

    Raises:
        ToolwearError: it is not one recording; the sentence says what to mend.
    """
    settings = {
        setting: _number(typed.get(setting, ""), one.title or setting, one.unit)
        for setting, one in dataset.settings.items()
    }
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
    found = _recording(name, frame, settings, "", dataset)
    return replace(found, warnings=tuple(contradictions(frame, settings, dataset)))


def _recording(
    name: str,
    frame: pd.DataFrame,
    settings: Mapping[str, float],
    condition: str,
    dataset: DataSet,
) -> Recording:
    frame = frame.assign(**settings)
    plan = order.plan([frame[[*{*order_columns(dataset)}]]], dataset)
    if plan.restored:
        stored = np.argsort(plan.time_index(np.arange(len(frame))), kind="stable")
        frame = frame.iloc[stored].reset_index(drop=True)
    return Recording(name, frame, dataset, condition, plan.restored)


def _number(text: str, what: str, unit: str) -> float:
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        measured = f" in {unit}" if unit else ""
        raise ToolwearError(
            f"Give the {what} of this recording{measured}, as a positive number; the answer "
            "depends on it."
        )
    return value
