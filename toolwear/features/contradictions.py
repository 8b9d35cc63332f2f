"""Does the telemetry contradict the settings that are stated for a recording?

The controller's feed rate is the one setting that a column reads. In the cut all 18 recordings read
exactly what their table says; beside it, rapid moves and other programs' feeds are read as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from toolwear.dataset import contract, schema
from toolwear.dataset.limits import limit_columns
from toolwear.features.compute import is_cutting
from toolwear.features.telemetry import read_rows, read_runs

_TOLERANCE = 0.02  # of the stated feed rate; a reading has three digits
_AGREEING = 0.5  # of the cutting rows
_DIGITS = 3


@dataclass
class Readings:
    """How often each feed rate was read, mm/s to three digits: in the cut, and in all rows."""

    cutting: Counter[float] = field(default_factory=Counter)
    rows: Counter[float] = field(default_factory=Counter)

    def add(self, feedrate: np.ndarray, cutting: np.ndarray) -> None:
        """Count rows: the controller's feed rate, mm/s, and whether they cut, each (rows,)."""
        self.rows.update(_counted(feedrate))
        self.cutting.update(_counted(feedrate[cutting]))

    def contradiction(self, stated: float) -> str:
        """Return how the readings contradict a stated feed rate, mm/s; empty if they do not.

        Where no row cuts, only a feed rate that is never read is contradicted.
        """
        read = self.cutting or self.rows
        agreeing = sum(n for value, n in read.items() if abs(value - stated) <= _TOLERANCE * stated)
        total = sum(read.values())
        if not total or agreeing >= _AGREEING * total or (agreeing and not self.cutting):
            return ""
        most, count = read.most_common(1)[0]
        which = "cutting rows" if self.cutting else "rows"
        return (
            f"{schema.FEEDRATE} is stated as {stated:g} mm/s, but {schema.CURRENT_FEEDRATE} reads "
            f"{most:g} in {count / total:.0%} of {total:,} {which}"
        )


def _counted(values: np.ndarray) -> dict[float, int]:
    found, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    counted: Counter[float] = Counter()
    for value, count in zip(found.tolist(), counts.tolist(), strict=True):
        counted[float(f"{value:.{_DIGITS}g}")] += count
    return counted


def contradictions(
    frame: pd.DataFrame, settings: Mapping[str, float], limits: Sequence[str]
) -> list[str]:
    """Return a clause for each stated setting that the rows of a recording contradict.

    Args:
        frame: rows of one recording; what it lacks contradicts nothing.
        settings: stated values by the names of `schema.SETTING_COLUMNS`.
        limits: of cutting rows, as in the data set's contract.
    """
    stated = settings.get(schema.FEEDRATE)
    if stated is None or schema.CURRENT_FEEDRATE not in frame:
        return []
    told_apart = set(limit_columns(limits)) <= set(frame)
    cutting = is_cutting(frame, limits) if told_apart else np.zeros(len(frame), dtype=bool)
    readings = Readings()
    readings.add(frame[schema.CURRENT_FEEDRATE].to_numpy(dtype=float), cutting)
    said = readings.contradiction(float(stated))
    return [said] if said else []


def of_table(telemetry: Path) -> list[str]:
    """Return a sentence for each run whose settings in the table its telemetry contradicts.

    Args:
        telemetry: output folder of the ingest step.
    """
    found = []
    runs, limits = read_runs(telemetry), contract.of(telemetry).rows.cutting
    for run_id, pieces in read_rows(telemetry, limits):
        readings = Readings()
        for frame in pieces:
            cutting = is_cutting(frame, limits)
            readings.add(frame[schema.CURRENT_FEEDRATE].to_numpy(dtype=float), cutting)
        if said := readings.contradiction(runs[run_id].feedrate):
            found.append(f"Run {run_id}: {said}; check the table of runs.")
    return found
