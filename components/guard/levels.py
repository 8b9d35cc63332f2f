"""How far a run's signals lie outside those of other runs: what a shifted sensor looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from components.guard.runs import LEVELS, RunFacts
from toolwear.common.thresholds import Guard

# Each drive reads the same bus, which follows the mains. So the mains may fall by ten per cent
# (EN 50160) without a sensor being wrong, and a sensor is wrong that leaves the other two.
_BUS = "X1_OutputCurrent"
_ALSO_BUS = ("Y1_OutputCurrent", "S1_OutputCurrent")
_FOLLOW_FEED = ("X1_", "Y1_")  # what the axes draw grows with the feed


class Distance(NamedTuple):
    """Of the signal that lies farthest outside.

    Attributes:
        value: in widths of the others' range; 0 inside it, and if nothing can be told.
        signal: its name; empty if nothing can be told.
        level: the run's.
        low: the lowest of the others.
        high: the highest of the others.
        runs: the others.
    """

    value: float = 0.0
    signal: str = ""
    level: float = 0.0
    low: float = 0.0
    high: float = 0.0
    runs: int = 0


def measurable(run: RunFacts, limits: Guard) -> bool:
    """Return whether the run has enough cutting rows for its levels to mean something."""
    return run.cutting_rows >= limits.level_rows


def distances(
    runs: Sequence[RunFacts], references: Sequence[RunFacts], limits: Guard
) -> dict[str, Distance]:
    """Return, by run, how far its levels lie outside those of other runs of the same material.

    A run at a feed rate outside the others' is judged by the spindle and the bus alone. Nothing
    can be told of a run with too few cutting rows or too few others.

    Args:
        runs: to judge.
        references: to judge them by; a run is not judged by itself.
        limits: the thresholds.
    """
    usable = [run for run in references if measurable(run, limits)]
    names = np.array([run.run_id for run in usable])
    materials = np.array([run.material for run in usable])
    feeds = np.array([run.feedrate for run in usable])
    levels = np.array([_judged(run) for run in usable])
    found = {}
    for run in runs:
        others = (names != run.run_id) & (materials == run.material)
        if measurable(run, limits) and others.sum() >= limits.level_runs:
            between = feeds[others].min() <= run.feedrate <= feeds[others].max()
            found[run.run_id] = _farthest(_judged(run), levels[others], between, limits)
        else:
            found[run.run_id] = Distance()
    return found


_JUDGED = tuple(f"{_BUS} - {name}" if name in _ALSO_BUS else name for name in LEVELS)


def _judged(run: RunFacts) -> np.ndarray:
    return np.array(
        [
            run.levels[_BUS] - run.levels[name] if name in _ALSO_BUS else run.levels[name]
            for name in LEVELS
        ]
    )


def _farthest(
    level: np.ndarray, others: np.ndarray, feed_is_known: bool, limits: Guard
) -> Distance:
    low, high = others.min(axis=0), others.max(axis=0)
    # Between neighbours that hardly differ a small change is not a fault, so a width is never
    # less than a share of the level; for a difference to the bus, of the bus.
    size = np.abs(others).max(axis=0)
    bus = size[LEVELS.index(_BUS)]
    floor = np.array(
        [
            limits.bus_width * bus if name in _ALSO_BUS else limits.level_width * own
            for name, own in zip(LEVELS, size, strict=True)
        ]
    )
    width = np.maximum(np.maximum(high - low, floor), 1e-12)
    outside = np.maximum(np.maximum(low - level, level - high), 0.0) / width
    if not feed_is_known:
        follows = [
            name.startswith(_FOLLOW_FEED) and name != _BUS and name not in _ALSO_BUS
            for name in LEVELS
        ]
        outside[follows] = 0.0
    at = int(outside.argmax())
    return Distance(
        float(outside[at]),
        _JUDGED[at],
        float(level[at]),
        float(low[at]),
        float(high[at]),
        len(others),
    )
