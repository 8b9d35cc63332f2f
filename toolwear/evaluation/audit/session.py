"""Does a column tell when a run was recorded rather than how worn its tool was?

Runs of one and the same setting ought to differ by wear only. A column whose level differs
between them by several row standard deviations, in no fixed direction for worn tools, marks the
session: mains voltage, temperature, a sensor that was exchanged.

Rows of a run are not independent, so no row-based standard error is used:

- the *row standard deviation* is that of rows within one second of each other, pooled over runs:
  slow drift within a run does not pass for noise;
- a shift counts only if it is also `DRIFT_FACTOR` times the deviation between two equally long
  stretches of one and the same run: slow drift, and a path of which a short run sees a part, do
  not pass for a shift between runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from toolwear.dataset import schema

DRIFT_FACTOR = 3.0
COMPANION_CORRELATION = 0.8  # of levels within settings, runs weighted by their rows
_SETTINGS_NEEDED = 2  # settings in which the shift shows, if so many are repeated at all
_SHORTEST_STRETCH = 16  # rows
_STRETCHES_NEEDED = 4  # in the longest run
_PAIRS_FOR_DIRECTION = 3  # worn-unworn pairs that must agree before a shift may be called wear
_TINY = 1e-9


@dataclass(frozen=True)
class _Pair:
    setting: str
    effect_sd: np.ndarray  # shift in row standard deviations, one a column, second minus first
    over_drift: np.ndarray  # size of the shift in units of the drift within runs, one a column
    label_step: int  # label of the second run minus that of the first


def fingerprints(
    rows: pd.DataFrame, columns: Sequence[str], threshold: float, second: int
) -> list[dict[str, Any]]:
    """Return the columns that mark the recording session, strongest first.

    Args:
        rows: cutting rows with RUN_ID, SETTING, LABEL, TIME_INDEX and `columns`.
        columns: the columns to judge.
        threshold: shift between runs of a setting, in row standard deviations.
        second: rows in a second.

    Returns:
        For each such column `column`, `effect_sd` (largest shift), `settings` (the shift in each
        setting where it is beyond the threshold) and `moves_with`: None, or the fingerprint whose
        levels this column follows although its own noise hides the shift.
    """
    ordered = rows.sort_values([schema.RUN_ID, schema.TIME_INDEX])
    levels = _Levels(ordered, list(columns), second)
    pairs = levels.pairs()
    if not pairs:
        return []
    found: list[dict[str, Any]] = []
    for number, column in enumerate(columns):
        shifts = _shifts(pairs, number, DRIFT_FACTOR)
        beyond = {name: shift for name, shift in shifts.items() if shift >= threshold}
        needed = min(_SETTINGS_NEEDED, len({pair.setting for pair in pairs}))
        if len(beyond) >= needed and not _one_direction(pairs, number):
            found.append(
                {
                    "column": column,
                    "effect_sd": max(beyond.values()),
                    "settings": beyond,
                    "moves_with": None,
                }
            )
    found.sort(key=lambda item: -item["effect_sd"])
    return found + _companions(levels, pairs, found)


def _shifts(pairs: list[_Pair], number: int, factor: float) -> dict[str, float]:
    """Return the largest shift of a column, beyond `factor` drifts, in each setting with one."""
    shifts: dict[str, float] = {}
    for pair in pairs:
        if pair.over_drift[number] >= factor:
            size = abs(float(pair.effect_sd[number]))
            shifts[pair.setting] = max(size, shifts.get(pair.setting, 0.0))
    return shifts


def _one_direction(pairs: list[_Pair], number: int) -> bool:
    """Return whether worn tools always shift the column the same way: then it may be wear."""
    signs = [
        np.sign(pair.effect_sd[number]) * pair.label_step
        for pair in pairs
        if pair.label_step and pair.over_drift[number] >= DRIFT_FACTOR
    ]
    return len(signs) >= _PAIRS_FOR_DIRECTION and abs(sum(signs)) == len(signs)


def _companions(
    levels: _Levels, pairs: list[_Pair], found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the columns that follow a fingerprint's levels, with shifts that their noise hides."""
    if not found:
        return []
    strongest = found[0]["column"]
    correlation = levels.correlation(strongest)
    names = {item["column"] for item in found}
    result = []
    for number, column in enumerate(levels.columns):
        shifts = _shifts(pairs, number, 1.0)  # more is not asked: the correlation speaks
        if (
            column not in names
            and len(shifts) >= _SETTINGS_NEEDED
            and abs(correlation[number]) >= COMPANION_CORRELATION
        ):
            result.append(
                {
                    "column": column,
                    "effect_sd": max(shifts.values()),
                    "settings": shifts,
                    "moves_with": strongest,
                }
            )
    return result


class _Levels:
    """Level, noise and drift of every column, by run."""

    def __init__(self, rows: pd.DataFrame, columns: list[str], second: int) -> None:
        self.columns = columns
        self._values = {
            str(run): group[columns].to_numpy(dtype=float)
            for run, group in rows.groupby(schema.RUN_ID, sort=False)
        }
        about = rows.groupby(schema.RUN_ID)[[schema.SETTING, schema.LABEL]].first()
        self._about = {str(run): (str(row[0]), int(row[1])) for run, row in _records(about)}
        self._mean = {run: values.mean(axis=0) for run, values in self._values.items()}
        self._noise = self._stretch_deviation(second)
        self._drifts: dict[int, np.ndarray] = {}

    def pairs(self) -> list[_Pair]:
        """Return the comparison of every two runs of the same setting."""
        longest = max(len(values) for values in self._values.values())
        result = []
        for first, second in combinations(self._values, 2):
            setting, label = self._about[first]
            shorter = min(len(self._values[first]), len(self._values[second]))
            stretch = min(shorter, longest // _STRETCHES_NEEDED)
            if setting != self._about[second][0] or stretch < _SHORTEST_STRETCH:
                continue
            shift = self._mean[second] - self._mean[first]
            # A power of two, so that few lengths have to be tried; shorter drifts more, which errs
            # on the side of silence.
            drift = self._drift(1 << (stretch.bit_length() - 1))
            # A column that never moves within a run has neither noise nor drift.
            scale = np.abs(self._mean[first]) + np.abs(self._mean[second]) + _TINY
            result.append(
                _Pair(
                    setting=setting,
                    effect_sd=shift / np.maximum(self._noise, _TINY * scale),
                    over_drift=np.abs(shift) / np.maximum(np.sqrt(2) * drift, _TINY * scale),
                    label_step=self._about[second][1] - label,
                )
            )
        return result

    def correlation(self, column: str) -> np.ndarray:
        """Return each column's correlation with `column` over run levels within settings."""
        runs = list(self._values)
        settings = np.array([self._about[run][0] for run in runs])
        weight = np.array([len(self._values[run]) for run in runs], dtype=float)
        levels = np.stack([self._mean[run] for run in runs])
        for setting in np.unique(settings):
            here = settings == setting
            levels[here] -= np.average(levels[here], axis=0, weights=weight[here])
        scaled = levels * np.sqrt(weight)[:, None]
        target = scaled[:, self.columns.index(column)]
        norm = np.linalg.norm(scaled, axis=0) * np.linalg.norm(target)
        correlation: np.ndarray = (scaled.T @ target) / np.maximum(norm, np.finfo(float).tiny)
        return correlation

    def _stretch_deviation(self, length: int) -> np.ndarray:
        """Return the standard deviation of rows within stretches of `length` rows, pooled."""
        total, freedom = np.zeros(len(self.columns)), 0
        for values in self._values.values():
            count = len(values) // length
            cut = values[: count * length].reshape(count, length, -1)
            total += ((cut - cut.mean(axis=1, keepdims=True)) ** 2).sum(axis=(0, 1))
            freedom += count * (length - 1)
        return np.sqrt(total / max(1, freedom))

    def _drift(self, length: int) -> np.ndarray:
        """Return how far means of stretches of one run stray from each other, pooled over runs."""
        if length not in self._drifts:
            total, freedom = np.zeros(len(self.columns)), 0
            for values in self._values.values():
                count = len(values) // length
                if count < 2:
                    continue
                means = values[: count * length].reshape(count, length, -1).mean(axis=1)
                total += ((means - means.mean(axis=0)) ** 2).sum(axis=0)
                freedom += count - 1
            self._drifts[length] = np.sqrt(total / max(1, freedom))
        return self._drifts[length]


def _records(about: pd.DataFrame) -> list[tuple[Any, tuple[Any, ...]]]:
    return list(zip(about.index, about.itertuples(index=False, name=None), strict=True))
