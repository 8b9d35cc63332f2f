"""Does the telemetry contradict the settings that are stated for a recording?

A signal may read a setting, as a mill's controller does the feed rate. In the cut all 18 recordings
of the mill read exactly what their table says; beside it, rapid moves and other programs' feeds are
read as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from toolwear.dataset import contract
from toolwear.dataset.contract import DataSet, Setting
from toolwear.dataset.limits import limit_columns
from toolwear.features.compute import is_cutting
from toolwear.features.telemetry import read_rows, read_runs

_TOLERANCE = 0.02  # of the stated value; a reading has three digits
_AGREEING = 0.5  # of the cutting rows
_DIGITS = 3


@dataclass
class _Reading:
    """How often each value of a setting was read, to three digits: in the cut, and in all rows."""

    cutting: Counter[float] = field(default_factory=Counter)
    rows: Counter[float] = field(default_factory=Counter)

    def contradiction(self, name: str, setting: Setting, stated: float) -> str:
        """Return how the readings contradict a stated value; empty if they do not.

        Where no row cuts, only a value that is never read is contradicted.
        """
        read = self.cutting or self.rows
        agreeing = sum(n for value, n in read.items() if abs(value - stated) <= _TOLERANCE * stated)
        total = sum(read.values())
        if not total or agreeing >= _AGREEING * total or (agreeing and not self.cutting):
            return ""
        most, count = read.most_common(1)[0]
        which = "cutting rows" if self.cutting else "rows"
        return (
            f"{name} is stated as {stated:g} {setting.unit}, but {setting.read_by} reads "
            f"{most:g} in {count / total:.0%} of {total:,} {which}"
        )


class Readings:
    """What the signals that read a setting say in the rows of one recording.

    Args:
        dataset: its contract.
    """

    def __init__(self, dataset: DataSet) -> None:
        self._dataset = dataset
        self._read = {name: _Reading() for name, one in dataset.settings.items() if one.read_by}

    def add(self, frame: pd.DataFrame, cutting: np.ndarray) -> None:
        """Count rows.

        Args:
            frame: rows; what it lacks contradicts nothing.
            cutting: whether they cut, bool (rows,).
        """
        for name, read in self._read.items():
            column = self._dataset.settings[name].read_by
            if column in frame:
                values = frame[column].to_numpy(dtype=float)
                read.rows.update(_counted(values))
                read.cutting.update(_counted(values[cutting]))

    def contradictions(self, stated: Mapping[str, float]) -> list[str]:
        """Return a clause for each stated setting that the readings contradict."""
        said = (
            read.contradiction(name, self._dataset.settings[name], float(stated[name]))
            for name, read in self._read.items()
            if name in stated
        )
        return [clause for clause in said if clause]


def _counted(values: np.ndarray) -> dict[float, int]:
    found, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    counted: Counter[float] = Counter()
    for value, count in zip(found.tolist(), counts.tolist(), strict=True):
        counted[float(f"{value:.{_DIGITS}g}")] += count
    return counted


def contradictions(
    frame: pd.DataFrame, settings: Mapping[str, float], dataset: DataSet
) -> list[str]:
    """Return a clause for each stated setting that the rows of a recording contradict.

    Args:
        frame: rows of one recording; what it lacks contradicts nothing.
        settings: stated values by name.
        dataset: its contract.
    """
    limits = dataset.rows.cutting
    told_apart = set(limit_columns(limits)) <= set(frame)
    cutting = is_cutting(frame, limits) if told_apart else np.zeros(len(frame), dtype=bool)
    readings = Readings(dataset)
    readings.add(frame, cutting)
    return readings.contradictions(settings)


def of_table(telemetry: Path) -> list[str]:
    """Return a sentence for each run whose settings in the table its telemetry contradicts.

    Args:
        telemetry: output folder of the ingest step.
    """
    found = []
    runs, dataset = read_runs(telemetry), contract.of(telemetry)
    for run_id, pieces in read_rows(telemetry, dataset):
        readings = Readings(dataset)
        for frame in pieces:
            readings.add(frame, is_cutting(frame, dataset.rows.cutting))
        found += [
            f"Run {run_id}: {said}; check the table of runs."
            for said in readings.contradictions(runs[run_id].settings)
        ]
    return found
