"""Reads runs and their labels from the earlier steps' artifacts, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from components.guard import shapes
from components.guard.runs import SHAPE_KEYS, RunFacts, sketch
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import DataSet
from toolwear.features.compute import is_cutting
from toolwear.features.logic import Run
from toolwear.features.telemetry import read_runs

_BATCH_ROWS = 131_072
_DIGITS = 3  # of a recorded value; what lies below is no other recording
_SMALLEST = 1e-20


@dataclass
class _Tally:
    """What has been read of one run."""

    dataset: DataSet
    rows: int = 0
    keys: list[np.ndarray] = field(default_factory=list)
    cutting_keys: list[np.ndarray] = field(default_factory=list)
    sums: float | np.ndarray = 0.0
    signals: list[np.ndarray] = field(default_factory=list)

    def add(self, frame: pd.DataFrame) -> None:
        asked = self.dataset.admission
        numbers = list(self.dataset.numbers)
        keys = row_keys(frame[numbers])
        cutting = is_cutting(frame, self.dataset.rows.cutting)
        room = max(0, shapes.MOST_ROWS - self.rows)
        self.signals.append(frame[list(asked.shapes) or numbers].to_numpy(dtype=np.float64)[:room])
        self.rows += len(frame)
        self.keys.append(keys)
        self.cutting_keys.append(keys[cutting])
        self.sums += np.abs(frame.loc[cutting, list(asked.levels)].to_numpy()).sum(axis=0)

    def facts(self, run: Run, material: str) -> RunFacts:
        cutting = np.concatenate(self.cutting_keys)
        levels = self.dataset.admission.levels
        means = np.asarray(self.sums / max(len(cutting), 1))
        signals = np.concatenate(self.signals)
        return RunFacts(
            run_id=run.run_id,
            label=run.worn,
            material=material,
            settings=run.settings,
            rows=self.rows,
            cutting_rows=len(cutting),
            repeated=len(cutting) - len(np.unique(cutting)),
            sketch=sketch(np.concatenate(self.keys)),
            turns=sketch(shapes.turns(signals), SHAPE_KEYS),
            scores=sketch(shapes.scores(signals), SHAPE_KEYS),
            levels=dict(zip(levels, means.tolist(), strict=True)) if len(cutting) else {},
        )


def row_keys(signals: pd.DataFrame) -> np.ndarray:
    """Return a 64-bit key of each row's signals to three digits, uint64 (rows,).

    Rounded, so that a recording is still known after a little noise was added to it.
    """
    values = signals.to_numpy(dtype=np.float64)
    size = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(values), _SMALLEST))) - (_DIGITS - 1))
    coarse = pd.DataFrame(np.rint(values / size) * size).astype(np.float32) + 0.0  # no -0.0
    keys: np.ndarray = pd.util.hash_pandas_object(coarse, index=False).to_numpy()
    return keys


def read(telemetry: Path) -> list[RunFacts]:
    """Return the runs of a telemetry folder, in the order of their number."""
    table = read_runs(telemetry)
    columns = [schema.RUN_ID, schema.MATERIAL]
    named = pd.read_parquet(telemetry / "runs.parquet", columns=columns)
    materials = dict(zip(named[schema.RUN_ID], named[schema.MATERIAL], strict=True))
    dataset = contract.of(telemetry)
    found = {}
    for run_id, pieces in groupby(_pieces(telemetry, dataset), key=lambda piece: piece[0]):
        tally = _Tally(dataset)
        for _, frame in pieces:
            tally.add(frame)
        found[run_id] = tally.facts(table[run_id], materials[run_id])
    return [found[run_id] for run_id in table]


def _pieces(telemetry: Path, dataset: DataSet) -> Iterator[tuple[str, pd.DataFrame]]:
    columns = [schema.RUN_ID, *dataset.numbers]
    for part in sorted(telemetry.glob("part-*.parquet")):
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                for run_id, frame in batch.to_pandas().groupby(schema.RUN_ID, sort=False):
                    yield str(run_id), frame
