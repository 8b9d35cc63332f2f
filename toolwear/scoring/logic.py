"""One verdict for a recording, from a stream of its rows in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from toolwear.dataset import schema
from toolwear.dataset.cells import POOL
from toolwear.dataset.contract import DataSet
from toolwear.dataset.writer import keyed
from toolwear.features.compute import is_cutting
from toolwear.features.contradictions import Readings
from toolwear.features.logic import Run, features
from toolwear.features.recording import recording
from toolwear.features.telemetry import BATCH_ROWS, columns_read
from toolwear.model.abstention import ANSWERS, NOT_SURE, VERDICTS
from toolwear.model.judged import Judged
from toolwear.model.package import Package
from toolwear.model.pyfunc import PackageModel

_MAJORITY = 0.5
_FRAME_ROWS = 16_384
_NUMBER = 1  # of the recording while it is read: there is one
NO_WINDOW = "the row ends no full window of cutting rows"
STRANGE = "a value is outside of what the model knows"
BAND = "the probability of wear is too close to call"


@dataclass(frozen=True)
class Score:
    """What a model says of a recording.

    Attributes:
        verdict: the class that more than half of the judged rows have, else "not_sure"; where the
            tool wears out within recordings, of those at the end (`DataSet.verdict_rows`).
        rows: in the recording.
        judged: rows of the phases that the data set judges; all rows, if it has none of them.
        shares: of the judged rows, by "worn", "unworn" and "not_sure".
        reasons: judged rows that are "not sure", by the reason.
        restored: the rows were not stored in the order of time, and were put into it.
        warnings: where the telemetry contradicts the stated settings.
    """

    verdict: str
    rows: int
    judged: int
    shares: Mapping[str, float]
    reasons: Mapping[str, int]
    restored: bool
    warnings: tuple[str, ...]


RowSink = Callable[[pd.DataFrame, Judged, np.ndarray], None]


def majority(shares: Mapping[str, float], otherwise: str) -> str:
    """Return the answer that more than half of the rows have, `otherwise` if none has."""
    return next((name for name, share in shares.items() if share > _MAJORITY), otherwise)


class RowModel(Protocol):
    """What answers rows of features: `PackageModel`, or one that is served."""

    features: tuple[str, ...]

    def judge(self, values: np.ndarray) -> tuple[Judged, np.ndarray]:
        """Return the answers to float64 (rows, features) and P(worn); see `PackageModel.judge`."""


class Scorer:
    """Scores recordings with one model.

    Args:
        model: answers rows.
        window: cutting rows in a trailing window.
        dataset: the contract that the model was trained by.
    """

    def __init__(self, model: RowModel, window: int, dataset: DataSet) -> None:
        self._model = model
        self._window = window
        self._dataset = dataset

    @classmethod
    def of(cls, package: Package) -> Self:
        """Return what scores with the model of a package."""
        window = int(package.description["window"])
        return cls(PackageModel(package.folder), window, package.dataset)

    def fits(self, dataset: DataSet) -> bool:
        """Tell whether rows that a contract reads have the model's columns and settings."""
        mine = self._dataset
        return set(mine.raw) <= set(dataset.raw) and set(mine.settings) <= set(dataset.settings)

    def score(
        self,
        batches: Iterable[pa.RecordBatch],
        settings: Mapping[str, float],
        scratch: Path,
        sink: RowSink | None = None,
    ) -> Score:
        """Return the verdict of a recording.

        Args:
            batches: its rows with the columns of `DataSet.raw`, in stored order.
            settings: by name, in the contract's units.
            scratch: an empty folder for what does not fit into memory.
            sink: told row numbers and features of rows in stored order, their answers, and P(worn).
        """
        dataset, readings = self._dataset, Readings(self._dataset)
        tally = _Tally(dataset.verdict_rows)
        stream = self._wanted(batches)
        head, begun = [], 0
        # A recording that one frame of a long one could hold is never written to the disk, and
        # becomes one frame at once: to join frames costs as much as to read them.
        while begun < BATCH_ROWS and (batch := next(stream, None)) is not None:
            head.append(batch)
            begun += batch.num_rows
        frames = self._frames(chain([pa.Table.from_batches(head)], stream), readings)
        del head
        # Nobody knows whether it is worn, and nobody asks.
        run = Run(schema.run_id(_NUMBER), begun, settings, worn=0)
        with recording(run, frames, dataset, True, scratch, BATCH_ROWS) as rows:
            # What was restored in memory can be put back into stored order as a whole only.
            whole = rows.plan.restored and sink is not None
            ordered = rows.time_order() if whole else _cut(rows.time_order())
            found = self._features(ordered, run)
            for frame in rows.stored_order(found) if sink is not None else found:
                values = frame[list(self._model.features)].to_numpy(dtype=np.float64)
                answers, worn = self._model.judge(values)
                tally.add(frame[schema.IS_ACTIVE].to_numpy(), answers, worn)
                if sink is not None:
                    sink(frame, answers, worn)
        warnings = readings.contradictions(settings)
        return tally.score(restored=rows.plan.restored, warnings=tuple(warnings))

    def _wanted(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows as telemetry, what features need of it."""
        dataset = self._dataset
        wanted = [name for name in columns_read(dataset) if name != schema.RUN_ID]
        count, period = 0, dataset.recordings.sample_period_seconds
        for batch in batches:
            yield keyed(schema.run_id(_NUMBER), count, batch, period).select(wanted)
            count += batch.num_rows

    def _frames(
        self, tables: Iterable[pa.Table | pa.RecordBatch], readings: Readings
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows as frames, and look at what they say of the settings."""
        for table in tables:
            frame = table.to_pandas(memory_pool=POOL)
            readings.add(frame, is_cutting(frame, self._dataset.rows.cutting))
            yield frame

    def _features(self, frames: Iterable[pd.DataFrame], run: Run) -> Iterator[pd.DataFrame]:
        for rows, found in features(frames, run, self._window, self._dataset):
            found[schema.ROW] = rows[schema.ROW]
            yield found


def _cut(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield the same rows in frames whose features stay in the processor's cache."""
    for frame in frames:
        for start in range(0, len(frame), _FRAME_ROWS):
            yield frame.iloc[start : start + _FRAME_ROWS]


@dataclass
class _Tally:
    """Counts of answers and of reasons: of all rows, and of those that are judged.

    Args:
        end: how many of them at the end make the verdict; None: all.
    """

    end: int | None
    last: list[np.ndarray] = field(default_factory=lambda: [np.zeros(0, dtype=int)] * 2)
    answers: np.ndarray = field(default_factory=lambda: np.zeros((2, len(ANSWERS)), dtype=int))
    reasons: np.ndarray = field(default_factory=lambda: np.zeros((2, 3), dtype=int))

    def add(self, counts: np.ndarray, found: Judged, worn: np.ndarray) -> None:
        none = np.isnan(worn)
        unsure = np.stack([none, found.strange, found.band & ~found.strange])
        for place, rows in enumerate((np.ones(len(worn), dtype=bool), counts)):
            self.answers[place] += np.bincount(found.codes[rows], minlength=len(ANSWERS))
            self.reasons[place] += (unsure & rows).sum(axis=1)
            if self.end is not None:
                codes = np.concatenate([self.last[place], found.codes[rows]])
                self.last[place] = codes[-self.end :]

    def score(self, *, restored: bool, warnings: tuple[str, ...]) -> Score:
        rows = int(self.answers[0].sum())
        place = int(self.answers[1].any())
        judged = int(self.answers[place].sum())
        shares = _shares(self.answers[place])
        deciding = shares
        if self.end is not None:
            deciding = _shares(np.bincount(self.last[place], minlength=len(ANSWERS)))
        reasons = dict(zip((NO_WINDOW, STRANGE, BAND), self.reasons[place].tolist(), strict=True))
        told = {reason: count for reason, count in reasons.items() if count}
        return Score(
            majority(deciding, VERDICTS[NOT_SURE]), rows, judged, shares, told, restored, warnings
        )


def _shares(counts: np.ndarray) -> dict[str, float]:
    total = counts.sum()
    return {
        VERDICTS[answer]: float(count / total)
        for answer, count in zip(ANSWERS, counts, strict=True)
    }
