"""What a package remembers of healthy telemetry, and how far later rows stand off it.

Rows of one run are autocorrelated and every run differs from every other, so p-values of rows mean
nothing here. A window is instead compared with rows of its like (the tool cuts, the same feed
rate), and what is too far is told by how far the training runs stand off each other: each was
left out once and compared with the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

ATTRIBUTED_ROWS = 16  # of a window: explaining a row takes hundreds of predictions

_BINS = 10
_FLOOR = 1e-4  # share of an empty bin
# Nearly all healthy answers are sure, so the bins are narrow where they are.
CONFIDENCE_EDGES = (0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Histogram(_Part):
    """Shares of values between edges; a value at an edge belongs above it.

    Attributes:
        edges: inner ones, ascending.
        shares: one more than edges.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, values: np.ndarray, edges: tuple[float, ...] | None = None) -> Histogram:
        """Return the histogram of values (n,); by default with as many values in each bin."""
        if edges is None:
            inner = np.linspace(0, 1, _BINS + 1)[1:-1]
            edges = tuple(np.unique(np.quantile(values, inner)).tolist())
        found = cls(edges=edges, shares=(1.0,) * (len(edges) + 1))
        counts = found.counts(values)
        return cls(edges=edges, shares=tuple((counts / counts.sum()).tolist()))

    def counts(self, values: np.ndarray) -> np.ndarray:
        """Return how many values (n,) are in each bin."""
        places = np.searchsorted(self.edges, values, side="right")
        return np.bincount(places, minlength=len(self.edges) + 1)

    def psi(self, counts: np.ndarray) -> float:
        """Return the population stability index of counts: 0 for equal shares."""
        actual = np.maximum(counts / max(1, counts.sum()), _FLOOR)
        expected = np.maximum(self.shares, _FLOOR)
        return float(((actual - expected) * np.log(actual / expected)).sum())


def confidence(worn: np.ndarray) -> np.ndarray:
    """Return how sure probabilities of "worn" are, from 0.5 to 1.

    The probability itself cannot drift within a window: a window comes from one tool, so it is
    all low or all high.
    """
    return np.maximum(worn, 1 - worn)


def confidence_histogram(worn: np.ndarray) -> Histogram:
    """Return the histogram of how sure probabilities of "worn" are."""
    return Histogram.of(confidence(worn), CONFIDENCE_EDGES)


def moved(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Return how much of the attribution went from some features to others, 0 to 1."""
    return sum(abs(after[name] - share) for name, share in before.items()) / 2


class HealthyWindow(_Part):
    """How far a window of a training run stands off the other runs of its feed rate.

    Attributes:
        run: it comes from.
        rows: it has.
        mean_psi: over the load signals.
        max_psi: of the signal that moved most.
        confidence_psi: of how sure the model is.
        abstention: share of answers "not sure".
        attribution: what `moved` gives.
        session: of the signal that tells most of another session, what `Span.beyond` gives;
            packages of before this was measured have 0.
    """

    run: str
    rows: int
    mean_psi: float
    max_psi: float
    confidence_psi: float
    abstention: float
    attribution: float
    session: float = 0.0


class Span(_Part):
    """Where the mean of a window of healthy rows was, and how far single rows spread."""

    low: float
    high: float
    spread: float

    def beyond(self, mean: float) -> float:
        """Return how far a mean is outside, in widths of the span; 0: it is inside."""
        # Few runs make a narrow span; a window's mean may then differ by as much as rows do.
        width = max(self.high - self.low, self.spread, 1e-9)
        return max(0.0, self.low - mean, mean - self.high) / width


class Regime(_Part):
    """Cutting rows of one feed rate.

    Attributes:
        runs: they come from.
        rows: how many.
        signals: histogram of each load signal.
        session: of each signal that tells the session.
        confidence: how sure the model is.
        abstention: share of answers "not sure".
        attribution: each feature's share of the attribution.
        windows: each window of these runs against the other runs; none if there is one run only.
    """

    runs: tuple[str, ...]
    rows: int
    signals: dict[str, Histogram]
    session: dict[str, Span]
    confidence: Histogram
    abstention: float
    attribution: dict[str, float]
    windows: tuple[HealthyWindow, ...]

    @property
    def calibrated(self) -> bool:
        """Whether it is known how far healthy runs stand off each other."""
        return len({window.run for window in self.windows}) >= 2


class Column(_Part):
    """What a feature's values look like in any window of cutting rows.

    Attributes:
        minimum: of all.
        maximum: of all.
        zeros: largest share of exact zeros that a window had.
        varies: whether no window held one value only.
    """

    minimum: float
    maximum: float
    zeros: float
    varies: bool


class Reference(_Part):
    """All of it.

    Attributes:
        format: of the file.
        window: rows in a window.
        features: of the model, in its order.
        regimes: by the value of the contract's regime, written as by `regime_name`.
        columns: by feature.
    """

    format: Literal[1] = 1
    window: int
    features: tuple[str, ...]
    regimes: dict[str, Regime]
    columns: dict[str, Column]

    @property
    def largest(self) -> Regime:
        """The regime with most rows: it stands in for a feed rate that training did not have."""
        return max(self.regimes.values(), key=lambda regime: regime.rows)

    def worst(self, name: str, regime: str | None = None) -> float:
        """Return the largest figure that a healthy window had, of one regime or of all."""
        chosen = self.regimes.values() if regime is None else [self.regimes[regime]]
        windows = [window for item in chosen for window in item.windows]
        return max((float(getattr(window, name)) for window in windows), default=0.0)

    def to_bytes(self) -> bytes:
        """Return it as JSON; equal references give equal bytes."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, allow_nan=False, indent=1)
        return f"{text}\n".encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """Read what `to_bytes` wrote; pydantic's error names what does not fit."""
        return cls.model_validate_json(data)


def regime_name(value: float | None) -> str:
    """Return the name of a regime by the value of its setting, such as "6"; "all" without one."""
    return "all" if value is None else f"{value:g}"
