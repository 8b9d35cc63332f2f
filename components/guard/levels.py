"""How far a run's signals lie outside those of other runs: what a shifted sensor looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from components.guard.runs import RunFacts
from toolwear.common.thresholds import Guard
from toolwear.dataset.contract import Admission


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
    runs: Sequence[RunFacts], references: Sequence[RunFacts], limits: Guard, asked: Admission
) -> dict[str, Distance]:
    """Return, by run, how far its levels lie outside those of other runs of the same material.

    A run at a setting outside the others' is judged without what follows that setting. Nothing can
    be told of a run with too few cutting rows or too few others.

    Args:
        runs: to judge.
        references: to judge them by; a run is not judged by itself.
        limits: the thresholds.
        asked: which signals are compared.
    """
    usable = [run for run in references if asked.levels and measurable(run, limits)]
    names = np.array([run.run_id for run in usable])
    materials = np.array([run.material for run in usable])
    settings = {name: np.array([run.settings[name] for run in usable]) for name in asked.follow}
    levels = np.array([_judged(run, asked) for run in usable])
    found = {}
    for run in runs:
        others = (names != run.run_id) & (materials == run.material)
        if measurable(run, limits) and others.sum() >= limits.level_runs:
            unknown = {
                signal
                for name, followers in asked.follow.items()
                if not _between(run.settings[name], settings[name][others])
                for signal in followers
            }
            level = _judged(run, asked)
            found[run.run_id] = _farthest(level, levels[others], unknown, limits, asked)
        else:
            found[run.run_id] = Distance()
    return found


def _between(value: float, others: np.ndarray) -> bool:
    return bool(others.min() <= value <= others.max())


def _judged(run: RunFacts, asked: Admission) -> np.ndarray:
    """Return the levels; of what reads the same source as another, the distance to it."""
    first = asked.same_source[:1]
    return np.array(
        [
            run.levels[first[0]] - run.levels[name]
            if name in asked.same_source[1:]
            else run.levels[name]
            for name in asked.levels
        ]
    )


def _farthest(
    level: np.ndarray, others: np.ndarray, unknown: set[str], limits: Guard, asked: Admission
) -> Distance:
    low, high = others.min(axis=0), others.max(axis=0)
    # Between neighbours that hardly differ a small change is not a fault, so a width is never
    # less than a share of the level; for a difference to the bus, of the bus.
    size = np.abs(others).max(axis=0)
    differ = asked.same_source[1:]
    source = size[asked.levels.index(asked.same_source[0])] if differ else 0.0
    floor = np.array(
        [
            limits.bus_width * source if name in differ else limits.level_width * own
            for name, own in zip(asked.levels, size, strict=True)
        ]
    )
    width = np.maximum(np.maximum(high - low, floor), 1e-12)
    outside = np.maximum(np.maximum(low - level, level - high), 0.0) / width
    outside[[name in unknown for name in asked.levels]] = 0.0
    at = int(outside.argmax())
    name = asked.levels[at]
    return Distance(
        float(outside[at]),
        f"{asked.same_source[0]} - {name}" if name in differ else name,
        float(level[at]),
        float(low[at]),
        float(high[at]),
        len(others),
    )
