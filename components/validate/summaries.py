"""What is remembered of the telemetry while it streams by: a few numbers a run and a signal."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet
from toolwear.features.compute import is_cutting
from toolwear.features.contradictions import Readings

# Columns of the summary of a run.
ROWS_RECORDED, ROWS_FOUND, CONTENT = "rows", "rows_found", "content"
ROWS_OF_RECORDING = "rows_of_recording"  # with its other stretches
MISSING_LAYERS, REACHES_END = "missing_layers", "reaches_end"
LAYER_AGREEMENT = "layer_agreement"
FEED_READ, CONTRADICTION = "feed_read", "contradiction"
LABEL_AGREES, ROW_DIFFERENCE = "label_agrees", "row_difference"
TWIN_OTHER_LABEL, TWIN_SAME_LABEL = "twin_other_label", "twin_same_label"

_AT_LEVEL, _LEVEL_FITS = "level_rows", "level_fits"  # counts of a run

# Columns of the summary of a signal.
SIGNAL, CONSTANT, FINE_VALUES = "signal", "constant", "fine_values"


@dataclass
class _Run:
    readings: Readings
    rows: int = 0
    reached: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    content: hashlib._Hash = field(default_factory=hashlib.sha256)


class Summaries:
    """Gathers the summaries of the runs and the signals from consecutive frames.

    Memory grows with the number of runs (about a kilobyte each), not with the rows.

    Args:
        dataset: the data set's contract.
    """

    def __init__(self, dataset: DataSet) -> None:
        self._dataset = dataset
        self.rows = 0
        self._runs: dict[str, _Run] = defaultdict(lambda: _Run(Readings(dataset)))
        self._low = np.full(len(dataset.signals), np.nan)
        self._high = np.full(len(dataset.signals), np.nan)
        self._fine = np.zeros(len(dataset.signals), dtype=np.int64)

    def add(self, frame: pd.DataFrame) -> None:
        """Take in the next rows; the frame has the telemetry's columns and types."""
        if frame.empty:
            return
        self.rows += len(frame)
        columns = [frame[column].to_numpy() for column in self._dataset.numbers]
        self._add_signals(columns)
        flags = _flags(frame, self._dataset)
        phases = frame[self._dataset.phases.column]
        ids = frame[schema.RUN_ID].to_numpy()
        cutting = is_cutting(frame, self._dataset.rows.cutting)
        starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
        for start, stop in zip(starts, np.r_[starts[1:], len(ids)], strict=True):
            run = self._runs[ids[start]]
            run.rows += int(stop - start)
            run.readings.add(frame.iloc[start:stop], cutting[start:stop])
            run.reached.update(phases.iloc[start:stop].dropna().unique())
            run.counts.update({name: int(flag[start:stop].sum()) for name, flag in flags.items()})
            run.content.update(np.stack([column[start:stop] for column in columns], axis=1).data)

    def _add_signals(self, columns: list[NDArray[np.float64]]) -> None:
        for index, values in enumerate(columns):
            self._low[index] = np.fmin(self._low[index], np.fmin.reduce(values))
            self._high[index] = np.fmax(self._high[index], np.fmax.reduce(values))
            if digits := self._dataset.recordings.significant_digits:
                self._fine[index] += fine_values(values, digits)

    def runs(self) -> pd.DataFrame:
        """Return one row a run that was found, in the order of the telemetry."""
        return pd.DataFrame(
            [_run_row(name, run, self._dataset) for name, run in self._runs.items()],
            columns=_run_columns(self._dataset),
        )

    def signals(self) -> pd.DataFrame:
        """Return one row a signal: its recorded range and resolution."""
        return pd.DataFrame(
            {
                SIGNAL: list(self._dataset.signals),
                "low": self._low,
                "high": self._high,
                CONSTANT: self._low == self._high,
                FINE_VALUES: self._fine,
            }
        )


def _flags(frame: pd.DataFrame, dataset: DataSet) -> dict[str, NDArray[np.bool_]]:
    flags = {fault.column: fault.shows(frame[fault.column].to_numpy()) for fault in dataset.faults}
    levels = dataset.phases.levels
    if levels is None:
        return flags
    level = frame[levels.column].to_numpy()
    named = frame[dataset.phases.column].map(levels.values).to_numpy(dtype=float)
    known = np.array(sorted(set(levels.values.values())))
    at = np.abs(level[:, None] - known) <= levels.tolerance
    there = at.any(axis=1) & ~np.isnan(named)
    flags[_AT_LEVEL] = there
    flags[_LEVEL_FITS] = there & (known[at.argmax(axis=1)] == named)
    return flags


def _run_columns(dataset: DataSet) -> list[str]:
    return [
        schema.RUN_ID,
        ROWS_FOUND,
        CONTENT,
        MISSING_LAYERS,
        REACHES_END,
        LAYER_AGREEMENT,
        FEED_READ,
        *(fault.column for fault in dataset.faults),
    ]


def _run_row(name: str, run: _Run, dataset: DataSet) -> dict[str, object]:
    at_level = run.counts[_AT_LEVEL]
    return {
        schema.RUN_ID: name,
        ROWS_FOUND: run.rows,
        CONTENT: run.content.hexdigest(),
        MISSING_LAYERS: sum(phase not in run.reached for phase in dataset.rows.judged),
        REACHES_END: dataset.phases.names[-1] in run.reached,
        LAYER_AGREEMENT: run.counts[_LEVEL_FITS] / at_level if at_level else np.nan,
        FEED_READ: run.readings,
        **{fault.column: run.counts[fault.column] for fault in dataset.faults},
    }


def fine_values(values: NDArray[np.float64], digits: int) -> int:
    """Return how many values need more than `digits` significant digits."""
    some = values[np.isfinite(values) & (np.abs(values) > np.finfo(float).tiny)]
    scaled = some * 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(some))))
    return int(np.count_nonzero(np.abs(scaled - np.rint(scaled)) > 1e-6))


def judge_runs(table: pd.DataFrame, found: pd.DataFrame, dataset: DataSet) -> pd.DataFrame:
    """Return the table of runs with what was found of each and how the two agree.

    A run of the table that has no telemetry gets zero rows; telemetry of runs that the table
    does not know is judged with the rows, not here.
    """
    runs = table.merge(found, on=schema.RUN_ID, how="left")
    runs[ROWS_FOUND] = runs[ROWS_FOUND].fillna(0).astype("int64")
    of = runs[schema.RUN_ID].map(schema.recording_of)
    runs[ROWS_OF_RECORDING] = runs[ROWS_FOUND].groupby(of).transform("sum")
    runs[ROW_DIFFERENCE] = runs[ROWS_FOUND] - runs[ROWS_RECORDED]
    label = runs[schema.CONDITION].map({name: i for i, name in enumerate(schema.CLASSES)})
    runs[LABEL_AGREES] = label == runs[schema.LABEL]
    # Without any setting pandas would give no record at all.
    stated: list[Any] = runs[[schema.RUN_ID, *dataset.settings]].to_dict("records")
    runs[CONTRADICTION] = [
        "; ".join(read.contradictions(settings)) if isinstance(read, Readings) else ""
        for read, settings in zip(runs.pop(FEED_READ), stated, strict=True)
    ]
    runs[TWIN_OTHER_LABEL], runs[TWIN_SAME_LABEL] = _twins(runs)
    return runs


def _twins(runs: pd.DataFrame) -> tuple[list[bool], list[bool]]:
    """Return for each run whether one of the same content has another label, or the same."""
    keys = list(zip(runs[CONTENT], runs[schema.LABEL], strict=True))
    contents, labelled = Counter(content for content, _ in keys), Counter(keys)
    found = [isinstance(content, str) for content, _ in keys]
    other = [f and contents[k[0]] > labelled[k] for f, k in zip(found, keys, strict=True)]
    same = [f and labelled[k] > 1 for f, k in zip(found, keys, strict=True)]
    return other, same
