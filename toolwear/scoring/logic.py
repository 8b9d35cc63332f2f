"""One verdict for a recording, from a stream of its rows in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from toolwear.dataset import schema
from toolwear.dataset.contract import Rows
from toolwear.dataset.limits import limit_columns
from toolwear.dataset.writer import PartWriter
from toolwear.features.compute import is_cutting
from toolwear.features.contradictions import Readings
from toolwear.features.logic import Run, samples
from toolwear.features.recording import recording
from toolwear.features.telemetry import read_rows
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
        verdict: the class that more than half of the judged rows have, else "not_sure".
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
        rows: phases whose rows make the verdict, and the limits of cutting rows.
    """

    def __init__(self, model: RowModel, window: int, rows: Rows) -> None:
        self._model = model
        self._window = window
        self._rows = rows

    @classmethod
    def of(cls, package: Package, judged: tuple[str, ...]) -> Self:
        """Return what scores with the model of a package.

        Args:
            package: the model's.
            judged: phases whose rows make the verdict.
        """
        about = package.description
        rows = Rows(judged=judged, cutting=about["cutting"])
        return cls(PackageModel(package.folder), int(about["window"]), rows)

    def score(
        self,
        batches: Iterable[pa.RecordBatch],
        settings: Mapping[str, float],
        scratch: Path,
        sink: RowSink | None = None,
    ) -> Score:
        """Return the verdict of a recording.

        Args:
            batches: its rows with the columns of `schema.RAW_COLUMNS`, in stored order.
            settings: by the names of `schema.SETTING_COLUMNS`, in mm/s and bar.
            scratch: an empty folder for what does not fit into memory.
            sink: told keys and features of rows in stored order, their answers, and P(worn).
        """
        count, warning = self._store(batches, settings, scratch)
        cutting = self._rows.cutting
        tally = _Tally()
        for run_id, pieces in read_rows(scratch, cutting):
            feedrate, clamp = (settings[name] for name in schema.SETTING_COLUMNS)
            run = Run(run_id, count, feedrate, clamp, worn=0)  # nobody knows, and nobody asks
            with recording(run, pieces, cutting, True, scratch) as rows:
                restored = rows.plan.restored
                # What was restored in memory can be put back into stored order as a whole only.
                whole = restored and sink is not None
                frames = rows.time_order() if whole else _cut(rows.time_order())
                found = samples(frames, run, self._window, self._window, self._rows)
                for frame in rows.stored_order(found) if sink is not None else found:
                    values = frame[list(self._model.features)].to_numpy(dtype=np.float64)
                    answers, worn = self._model.judge(values)
                    tally.add(frame[schema.IS_ACTIVE].to_numpy(), answers, worn)
                    if sink is not None:
                        sink(frame, answers, worn)
        return tally.score(count, restored=restored, warnings=(warning,) if warning else ())

    def _store(
        self, batches: Iterable[pa.RecordBatch], settings: Mapping[str, float], folder: Path
    ) -> tuple[int, str]:
        """Write the rows as telemetry; return their number and what contradicts the settings."""
        rows, readings = 0, Readings()
        wanted = [schema.CURRENT_FEEDRATE, *limit_columns(self._rows.cutting)]
        with PartWriter(folder) as writer:
            for batch in batches:
                writer.write(_NUMBER, rows, batch)
                rows += batch.num_rows
                frame = batch.select(list(dict.fromkeys(wanted))).to_pandas()
                readings.add(
                    frame[schema.CURRENT_FEEDRATE].to_numpy(),
                    is_cutting(frame, self._rows.cutting),
                )
            writer.end_run()
        return rows, readings.contradiction(settings[schema.FEEDRATE])


def _cut(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield the same rows in frames whose features stay in the processor's cache."""
    for frame in frames:
        for start in range(0, len(frame), _FRAME_ROWS):
            yield frame.iloc[start : start + _FRAME_ROWS]


@dataclass
class _Tally:
    """Counts of answers and of reasons: of all rows, and of those that are judged."""

    answers: np.ndarray = field(default_factory=lambda: np.zeros((2, len(ANSWERS)), dtype=int))
    reasons: np.ndarray = field(default_factory=lambda: np.zeros((2, 3), dtype=int))

    def add(self, counts: np.ndarray, found: Judged, worn: np.ndarray) -> None:
        none = np.isnan(worn)
        unsure = np.stack([none, found.strange, found.band & ~found.strange])
        for place, rows in enumerate((np.ones(len(worn), dtype=bool), counts)):
            self.answers[place] += np.bincount(found.codes[rows], minlength=len(ANSWERS))
            self.reasons[place] += (unsure & rows).sum(axis=1)

    def score(self, rows: int, *, restored: bool, warnings: tuple[str, ...]) -> Score:
        place = int(self.answers[1].any())
        judged = int(self.answers[place].sum())
        shares = {
            VERDICTS[answer]: float(count / judged)
            for answer, count in zip(ANSWERS, self.answers[place], strict=True)
        }
        reasons = dict(zip((NO_WINDOW, STRANGE, BAND), self.reasons[place].tolist(), strict=True))
        told = {reason: count for reason, count in reasons.items() if count}
        return Score(
            majority(shares, VERDICTS[NOT_SURE]), rows, judged, shares, told, restored, warnings
        )
