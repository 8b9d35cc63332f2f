"""What is kept of the rows of a window: sums that grow row by row and fit in a small file.

A window under way can so be written down after every look at the log, and a killed monitor goes on
with it as if nothing had been.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from serving.payload.records import PROBABILITY, VERDICT
from toolwear.dataset import schema
from toolwear.model.drift import ATTRIBUTED_ROWS, Reference, confidence, confidence_histogram

UNSURE = "not_sure"
_SURE = confidence_histogram(np.array([1.0]))  # for its edges


class _Tally(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rows: int = 0
    first: str = ""  # when the first and the last row were answered, ISO 8601
    last: str = ""

    def _saw(self, frame: pd.DataFrame) -> None:
        times = frame["answered_at"]
        self.first = self.first or times.iloc[0].isoformat()
        self.last = times.iloc[-1].isoformat()
        self.rows += len(frame)


class RegimeTally(_Tally):
    """Cutting rows of one regime.

    Attributes:
        counts: rows in each bin of each load signal.
        sums: of the signals that tell the session.
        sure: rows in each bin of how sure the model was.
        worn: summed probability of "worn".
        unsure: answers "not sure".
        sample: rows to explain.
    """

    counts: dict[str, list[int]] = Field(default_factory=dict)
    sums: dict[str, float] = Field(default_factory=dict)
    sure: list[int] = Field(default_factory=lambda: [0] * len(_SURE.shares))
    worn: float = 0.0
    unsure: int = 0
    sample: list[list[float]] = Field(default_factory=list)

    def add(self, frame: pd.DataFrame, reference: Reference, regime: str) -> Self:
        """Count further rows; there must be room for them."""
        known = reference.regimes.get(regime)
        if known is not None:
            for name, histogram in known.signals.items():
                before = self.counts.get(name, [0] * len(histogram.shares))
                more = histogram.counts(frame[name].to_numpy())
                self.counts[name] = (np.array(before) + more).tolist()
        for name in reference.largest.session:
            self.sums[name] = self.sums.get(name, 0.0) + float(frame[name].sum())
        worn = frame[PROBABILITY].to_numpy()
        self.sure = (np.array(self.sure) + _SURE.counts(confidence(worn))).tolist()
        self.worn += float(worn.sum())
        self.unsure += int((frame[VERDICT] == UNSURE).sum())
        step = max(1, reference.window // ATTRIBUTED_ROWS)
        places = np.arange(self.rows, self.rows + len(frame))
        chosen = frame.loc[places % step == 0, list(reference.features)]
        self.sample += chosen.to_numpy().tolist()[: ATTRIBUTED_ROWS - len(self.sample)]
        self._saw(frame)
        return self


class ColumnTally(BaseModel):
    """One feature's values."""

    model_config = ConfigDict(extra="forbid")

    minimum: float | None = None
    maximum: float | None = None
    zeros: int = 0
    missing: int = 0
    beyond: int = 0


class QualityTally(_Tally):
    """Rows that cut or of which nobody knows; those that do not are counted only.

    Attributes:
        idle: answered rows since the last one that cuts.
        columns: by feature.
    """

    idle: int = 0
    columns: dict[str, ColumnTally] = Field(default_factory=dict)

    def add(self, frame: pd.DataFrame, reference: Reference) -> Self:
        """Count further rows; there must be room for them."""
        for name, known in reference.columns.items():
            values = frame[name].to_numpy(dtype=np.float64)
            there = values[np.isfinite(values)]
            tally = self.columns.setdefault(name, ColumnTally())
            tally.missing += len(values) - len(there)
            tally.zeros += int((there == 0).sum())
            tally.beyond += int(((there < known.minimum) | (there > known.maximum)).sum())
            if len(there):
                low, high = float(there.min()), float(there.max())
                tally.minimum = low if tally.minimum is None else min(tally.minimum, low)
                tally.maximum = high if tally.maximum is None else max(tally.maximum, high)
        self._saw(frame)
        return self

    def pass_over(self, frame: pd.DataFrame) -> Self:
        """Count rows that do not cut."""
        self.idle += len(frame)
        self.first = self.first or frame["answered_at"].iloc[0].isoformat()
        self.last = frame["answered_at"].iloc[-1].isoformat()
        return self


class LabelTally(_Tally):
    """Rows whose label became known.

    Attributes:
        right: those on whose side the model leant.
    """

    right: int = 0

    def add(self, frame: pd.DataFrame) -> Self:
        """Count further rows; there must be room for them."""
        said = frame["label"] == schema.WORN
        self.right += int((said == frame["worn"].astype(bool)).sum())
        self._saw(frame)
        return self
