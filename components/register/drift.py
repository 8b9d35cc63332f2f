"""Makes the reference that the monitor compares what is served with.

It holds all rows of the training runs, those that the model was fitted on as well: the question is
whether the machine and the model behave as they did, not whether the model is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from toolwear.dataset import schema
from toolwear.explain.leaning import leaning
from toolwear.explain.methods.subject import Predict
from toolwear.features.dataset import TRAINING_SET
from toolwear.features.definitions import Definitions
from toolwear.model.abstention import Abstention
from toolwear.model.drift import (
    ATTRIBUTED_ROWS,
    Column,
    HealthyWindow,
    Histogram,
    Reference,
    Regime,
    Span,
    confidence,
    confidence_histogram,
    moved,
    regime_name,
)

# A reference gets no better with more, and registration has to end.
_MOST_RUNS = 60
_MOST_ROWS = 10_000  # of a run, from its start
_LEAST_ROWS = 200  # in a window of a run that is shorter than one


@dataclass(frozen=True, eq=False)
class Judge:
    """The model as the service asks it.

    Attributes:
        worn: P(worn) of rows (n, features).
        abstention: when it is not sure.
        background: rows that explanations start from.
    """

    worn: Predict
    abstention: Abstention
    background: np.ndarray

    def attribution(self, rows: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
        """Return each feature's share of the attribution of these rows."""
        return leaning(self.worn, self.background, rows, names)


def rows(features: Path, feature_set: str, made: Definitions) -> pd.DataFrame:
    """Return keys and features of the training runs' rows, run by run in time order."""
    chosen = made.sets[feature_set]
    parts = sorted((features / TRAINING_SET).glob("part-*.parquet"))
    data = ds.dataset(parts, format="parquet")
    runs = sorted(set(data.to_table(columns=[schema.RUN_ID])[schema.RUN_ID].to_pylist()))
    kept = runs[:: -(-len(runs) // _MOST_RUNS)]
    keys = (schema.RUN_ID, schema.TIME_INDEX, *made.dataset.regime, schema.IS_CUTTING)
    table = data.to_table(
        columns=list(dict.fromkeys((*keys, *chosen.columns))),
        filter=ds.field(schema.RUN_ID).isin(kept) & (ds.field(schema.TIME_INDEX) < _MOST_ROWS),
    )
    return table.to_pandas().sort_values([schema.RUN_ID, schema.TIME_INDEX], ignore_index=True)


def reference(
    frame: pd.DataFrame,
    columns: tuple[str, ...],
    made: Definitions,
    judge: Judge,
    window: int,
    tell: Callable[[str], None],
) -> Reference:
    """Return the reference.

    Args:
        frame: as `rows` gives it.
        columns: the model's features, in its order.
        made: the features of the data set.
        judge: the model.
        window: rows in a window.
        tell: is told the progress.
    """
    complete = np.isfinite(frame[list(columns)].to_numpy(dtype=np.float64)).all(axis=1)
    frame = frame[complete & frame[schema.IS_CUTTING].to_numpy()]
    regimes = {}
    setting = made.dataset.regime
    parts = frame.groupby(setting[0]) if setting else [(None, frame)]
    for value, cutting in parts:
        name = regime_name(None if value is None else float(str(value)))
        tell(f"reference for drift in regime {name}: {len(cutting):,} cutting rows")
        regimes[name] = _Part(cutting, columns, made, judge, window).regime()
    return Reference(
        window=window,
        features=columns,
        regimes=regimes,
        columns={name: _column(frame, name, window) for name in columns},
    )


def _column(frame: pd.DataFrame, name: str, window: int) -> Column:
    parts = [
        part
        for _, run in frame.groupby(schema.RUN_ID)
        for part in _parts(run[name].to_numpy(dtype=np.float64), window)
    ]
    values = frame[name].to_numpy(dtype=np.float64)
    return Column(
        minimum=float(values.min()),
        maximum=float(values.max()),
        zeros=max((float((part == 0).mean()) for part in parts), default=1.0),
        varies=bool(parts) and all(part.min() < part.max() for part in parts),
    )


def _parts(values: np.ndarray, window: int) -> list[np.ndarray]:
    """Return the windows of a run's values; a short run is one window, a very short one none."""
    if len(values) < window:
        return [values] if len(values) >= _LEAST_ROWS else []
    return np.split(values[: len(values) // window * window], len(values) // window)


@dataclass(frozen=True, eq=False)
class _Window:
    run: str
    X: np.ndarray
    worn: np.ndarray
    unsure: np.ndarray
    attribution: dict[str, float]


class _Part:
    """The cutting rows of one regime."""

    def __init__(
        self,
        frame: pd.DataFrame,
        columns: tuple[str, ...],
        made: Definitions,
        judge: Judge,
        window: int,
    ) -> None:
        self._columns = columns
        self._session = made.dataset.features.session
        self._load = {name: columns.index(name) for name in made.load_columns(columns)}
        self._X = frame[list(columns)].to_numpy(dtype=np.float64)
        self._run = frame[schema.RUN_ID].to_numpy(dtype=str)
        self._worn = judge.worn(self._X)
        abstention = judge.abstention
        self._unsure = abstention.in_band(self._worn) | abstention.outside(self._X).any(axis=1)
        self._windows = [
            self._window(run, place, judge)
            for run in np.unique(self._run).tolist()
            for place in _parts(np.flatnonzero(self._run == run), window)
        ]
        self._judge = judge

    def _window(self, run: str, place: np.ndarray, judge: Judge) -> _Window:
        chosen = self._X[place[spread(len(place))]]
        attribution = judge.attribution(chosen, self._columns)
        return _Window(run, self._X[place], self._worn[place], self._unsure[place], attribution)

    def regime(self) -> Regime:
        """Return what is remembered of them."""
        runs = np.unique(self._run).tolist()
        if self._windows:
            attribution = _mean([window.attribution for window in self._windows])
        else:
            attribution = self._judge.attribution(self._X[spread(len(self._X))], self._columns)
        return Regime(
            runs=tuple(runs),
            rows=len(self._X),
            signals=self._histograms(self._X),
            session=self._spans(self._X, [window.X for window in self._windows]),
            confidence=confidence_histogram(self._worn),
            abstention=float(self._unsure.mean()),
            attribution=attribution,
            windows=tuple(
                found
                for run in runs
                if (self._run != run).any()
                for found in self._against_others(run)
            ),
        )

    def _histograms(self, X: np.ndarray) -> dict[str, Histogram]:
        return {name: Histogram.of(X[:, place]) for name, place in self._load.items()}

    def _spans(self, X: np.ndarray, parts: Sequence[np.ndarray]) -> dict[str, Span]:
        """Return where the session's signals were on average, in windows of rows (n, features)."""
        parts = parts or [X]
        found = {}
        for name in self._columns:
            if name in self._session:
                place = self._columns.index(name)
                means = [float(part[:, place].mean()) for part in parts]
                spread = float(X[:, place].std())
                found[name] = Span(low=min(means), high=max(means), spread=spread)
        return found

    def _against_others(self, run: str) -> Sequence[HealthyWindow]:
        """Return the windows of a run against the other runs."""
        others = self._run != run
        signals = self._histograms(self._X[others])
        sure = confidence_histogram(self._worn[others])
        others_lean = [window.attribution for window in self._windows if window.run != run]
        spans = self._spans(
            self._X[others], [window.X for window in self._windows if window.run != run]
        )
        found = []
        for window in (window for window in self._windows if window.run == run):
            psi = [
                signals[name].psi(signals[name].counts(window.X[:, place]))
                for name, place in self._load.items()
            ]
            found.append(
                HealthyWindow(
                    run=run,
                    rows=len(window.X),
                    mean_psi=float(np.mean(psi)) if psi else 0.0,
                    max_psi=max(psi, default=0.0),
                    confidence_psi=sure.psi(sure.counts(confidence(window.worn))),
                    abstention=float(window.unsure.mean()),
                    attribution=moved(_mean(others_lean), window.attribution)
                    if others_lean
                    else 0.0,
                    session=self._beyond(spans, window.X) if others_lean else 0.0,
                )
            )
        return found

    def _beyond(self, spans: dict[str, Span], X: np.ndarray) -> float:
        """Return how far the mean of rows (n, features) is outside, of the signal farthest out."""
        means = {name: float(X[:, self._columns.index(name)].mean()) for name in spans}
        return max((span.beyond(means[name]) for name, span in spans.items()), default=0.0)


def spread(rows: int) -> np.ndarray:
    """Return places of the rows of a window that are explained, evenly spread."""
    return np.unique(np.linspace(0, rows - 1, min(rows, ATTRIBUTED_ROWS)).astype(np.int64))


def _mean(shares: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in shares])) for name in shares[0]}
