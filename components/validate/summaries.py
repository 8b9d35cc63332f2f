"""What is remembered of the telemetry while it streams by: a few numbers a run and a signal."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.validate.signals import (
    DEPTH_TOLERANCE,
    FAULTS,
    LAYER_DEPTHS,
    NORMAL_PROGRAM,
    SIGNALS,
    SIGNIFICANT_DIGITS,
    Z_POSITION,
)
from toolwear.dataset import schema
from toolwear.features.compute import is_cutting
from toolwear.features.contradictions import Readings

_PHASE_CODES = {phase: code for code, phase in enumerate(schema.PHASES)}
_LAYERS = {phase: int(phase.split()[1]) for phase in schema.ACTIVE_PHASES}

# Columns of the summary of a run.
ROWS_RECORDED, ROWS_FOUND, CONTENT = "rows", "rows_found", "content"
MISSING_LAYERS, REACHES_END = "missing_layers", "reaches_end"
LAYER_AGREEMENT, OTHER_PROGRAM = "layer_agreement", "other_program"
FEED_READ, CONTRADICTION = "feed_read", "contradiction"
LABEL_AGREES, ROW_DIFFERENCE = "label_agrees", "row_difference"
TWIN_OTHER_LABEL, TWIN_SAME_LABEL = "twin_other_label", "twin_same_label"

# Columns of the summary of a signal.
SIGNAL, CONSTANT, FINE_VALUES = "signal", "constant", "fine_values"


@dataclass
class _Run:
    rows: int = 0
    phases: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(_PHASE_CODES), dtype=np.int64)
    )
    counts: Counter[str] = field(default_factory=Counter)
    content: hashlib._Hash = field(default_factory=hashlib.sha256)
    readings: Readings = field(default_factory=Readings)


class Summaries:
    """Gathers the summaries of the runs and the signals from consecutive frames.

    Memory grows with the number of runs (about a kilobyte each), not with the rows.

    Args:
        cutting: limits of cutting rows, as in the data set's contract.
    """

    def __init__(self, cutting: Sequence[str]) -> None:
        self._cutting = cutting
        self.rows = 0
        self._runs: dict[str, _Run] = defaultdict(_Run)
        self._low = np.full(len(SIGNALS), np.nan)
        self._high = np.full(len(SIGNALS), np.nan)
        self._fine = np.zeros(len(SIGNALS), dtype=np.int64)

    def add(self, frame: pd.DataFrame) -> None:
        """Take in the next rows; the frame has the telemetry's columns and types."""
        if frame.empty:
            return
        self.rows += len(frame)
        columns = [frame[column].to_numpy() for column in SIGNALS]
        self._add_signals(columns)
        flags = _flags(frame)
        codes = frame[schema.PHASE].map(_PHASE_CODES).fillna(-1).to_numpy(dtype=np.int64)
        ids = frame[schema.RUN_ID].to_numpy()
        feed = frame[schema.CURRENT_FEEDRATE].to_numpy()
        cutting = is_cutting(frame, self._cutting)
        starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
        for start, stop in zip(starts, np.r_[starts[1:], len(ids)], strict=True):
            run = self._runs[ids[start]]
            run.rows += int(stop - start)
            run.readings.add(feed[start:stop], cutting[start:stop])
            known = codes[start:stop]
            run.phases += np.bincount(known[known >= 0], minlength=len(_PHASE_CODES))
            run.counts.update({name: int(flag[start:stop].sum()) for name, flag in flags.items()})
            run.content.update(np.stack([column[start:stop] for column in columns], axis=1).data)

    def _add_signals(self, columns: list[NDArray[np.float64]]) -> None:
        for index, values in enumerate(columns):
            self._low[index] = np.fmin(self._low[index], np.fmin.reduce(values))
            self._high[index] = np.fmax(self._high[index], np.fmax.reduce(values))
            self._fine[index] += fine_values(values)

    def runs(self) -> pd.DataFrame:
        """Return one row a run that was found, in the order of the telemetry."""
        return pd.DataFrame(
            [_run_row(name, run) for name, run in self._runs.items()], columns=_run_columns()
        )

    def signals(self) -> pd.DataFrame:
        """Return one row a signal: its recorded range and resolution."""
        return pd.DataFrame(
            {
                SIGNAL: list(SIGNALS),
                "low": self._low,
                "high": self._high,
                CONSTANT: self._low == self._high,
                FINE_VALUES: self._fine,
            }
        )


def _flags(frame: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    depth = frame[Z_POSITION].to_numpy()
    named = frame[schema.PHASE].map(_LAYERS).to_numpy(dtype=float)
    actual = np.full(len(frame), np.nan)
    for layer, position in LAYER_DEPTHS.items():
        actual[np.abs(depth - position) <= DEPTH_TOLERANCE] = layer
    flags = {fault.column: frame[fault.column].to_numpy() == fault.value for fault in FAULTS}
    program = frame[schema.PROGRAM_NUMBER].to_numpy()
    flags[OTHER_PROGRAM] = (program != NORMAL_PROGRAM) & ~np.isnan(program)
    flags["layer_rows"] = ~np.isnan(named) & ~np.isnan(actual)
    flags["layer_fits"] = named == actual
    return flags


def _run_columns() -> list[str]:
    return [
        schema.RUN_ID,
        ROWS_FOUND,
        CONTENT,
        MISSING_LAYERS,
        REACHES_END,
        LAYER_AGREEMENT,
        OTHER_PROGRAM,
        FEED_READ,
        *(fault.column for fault in FAULTS),
    ]


def _run_row(name: str, run: _Run) -> dict[str, object]:
    reached = {phase for phase, count in zip(schema.PHASES, run.phases, strict=True) if count}
    layer_rows = run.counts["layer_rows"]
    return {
        schema.RUN_ID: name,
        ROWS_FOUND: run.rows,
        CONTENT: run.content.hexdigest(),
        MISSING_LAYERS: sum(phase not in reached for phase in schema.ACTIVE_PHASES),
        REACHES_END: schema.PHASES[-1] in reached,
        LAYER_AGREEMENT: run.counts["layer_fits"] / layer_rows if layer_rows else np.nan,
        OTHER_PROGRAM: run.counts[OTHER_PROGRAM],
        FEED_READ: run.readings,
        **{fault.column: run.counts[fault.column] for fault in FAULTS},
    }


def fine_values(values: NDArray[np.float64]) -> int:
    """Return how many values need more than `SIGNIFICANT_DIGITS` significant digits."""
    some = values[np.isfinite(values) & (np.abs(values) > np.finfo(float).tiny)]
    scaled = some * 10.0 ** (SIGNIFICANT_DIGITS - 1 - np.floor(np.log10(np.abs(some))))
    return int(np.count_nonzero(np.abs(scaled - np.rint(scaled)) > 1e-6))


def judge_runs(table: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return the table of runs with what was found of each and how the two agree.

    A run of the table that has no telemetry gets zero rows; telemetry of runs that the table
    does not know is judged with the rows, not here.
    """
    runs = table.merge(found, on=schema.RUN_ID, how="left")
    runs[ROWS_FOUND] = runs[ROWS_FOUND].fillna(0).astype("int64")
    runs[ROW_DIFFERENCE] = runs[ROWS_FOUND] - runs[ROWS_RECORDED]
    label = runs[schema.CONDITION].map({name: i for i, name in enumerate(schema.CLASSES)})
    runs[LABEL_AGREES] = label == runs[schema.LABEL]
    runs[CONTRADICTION] = [
        read.contradiction(stated) if isinstance(read, Readings) else ""
        for read, stated in zip(runs.pop(FEED_READ), runs[schema.FEEDRATE], strict=True)
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
