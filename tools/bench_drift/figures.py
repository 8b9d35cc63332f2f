"""Counts of windows and alarms, by detector. Runs are what differs, so intervals go over runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serving.monitor.kinds import JUDGING, Kind, Result
from serving.monitor.state import State
from serving.monitor.watch import alarms
from toolwear.common.thresholds import thresholds

_DRAWS = 2000
_SEED = 0


@dataclass(frozen=True)
class Seen:
    """One detector in one scenario.

    Attributes:
        windows: judged, over all runs.
        alarming: of them.
        runs: with enough windows for an alarm.
        raised: runs in which an alarm was raised.
        delays: windows from the fault's begin until the alarm, of those runs.
    """

    windows: int
    alarming: int
    runs: int
    raised: int
    delays: tuple[int, ...]


Cell = Mapping[Kind, Seen]


@dataclass(frozen=True)
class Rate:
    """False alarms of one detector.

    Attributes:
        windows: healthy ones that were judged.
        runs: that they come from.
        alarming: windows whose result is an alarm.
        interval: 95 %, of alarming windows per 1000, from drawing runs anew.
        raised: runs in which k of n windows raised the alarm.
    """

    windows: int
    runs: int
    alarming: int
    interval: tuple[float, float]
    raised: int


Null = Mapping[Kind, Rate]


def results(state: State, kind: Kind) -> list[Result]:
    """Return the results of a kind's windows that count, oldest first."""
    found = [w.verdicts[kind].result for w in state.windows if kind in w.verdicts]
    return [result for result in found if result in JUDGING]


def delay(state: State, kind: Kind) -> int | None:
    """Return after how many judged windows the alarm was raised, None if it was not."""
    limits = thresholds().monitor
    found = State()
    judged = 0
    for window in state.windows:
        if kind not in window.verdicts:
            continue
        found.windows.append(window)
        judged += window.verdicts[kind].result in JUDGING
        if alarms(found, window.package, limits)[kind]:
            return judged
    return None


def cell(states: Mapping[str, State]) -> Cell:
    """Return what each detector said, over runs that were served one by one."""
    enough = thresholds().monitor.alarms
    seen = {}
    for kind in Kind:
        by_run = {run: results(state, kind) for run, state in states.items()}
        late = [delay(state, kind) for state in states.values()]
        delays = tuple(one for one in late if one is not None)
        seen[kind] = Seen(
            windows=sum(len(found) for found in by_run.values()),
            alarming=sum(found.count(Result.ALARM) for found in by_run.values()),
            runs=sum(len(found) >= enough for found in by_run.values()),
            raised=len(delays),
            delays=delays,
        )
    return seen


def null(states: Mapping[str, State]) -> Null:
    """Return the false alarms over healthy runs."""
    rates = {}
    for kind in Kind:
        by_run = [found for state in states.values() if (found := results(state, kind))]
        windows = np.array([len(found) for found in by_run])
        alarming = np.array([found.count(Result.ALARM) for found in by_run])
        rates[kind] = Rate(
            windows=int(windows.sum()),
            runs=len(by_run),
            alarming=int(alarming.sum()),
            interval=_interval(windows, alarming),
            raised=sum(delay(state, kind) is not None for state in states.values()),
        )
    return rates


def _interval(windows: np.ndarray, alarming: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of alarming windows per 1000, drawing runs with repeats.

    Without any alarm drawing says nothing: then the upper end is the rule of three over runs.
    """
    if not len(windows):
        return 0.0, 1000.0
    if not alarming.any():
        return 0.0, min(1000.0, 3000.0 / len(windows))
    drawn = np.random.default_rng(_SEED).integers(0, len(windows), (_DRAWS, len(windows)))
    rates = alarming[drawn].sum(axis=1) / windows[drawn].sum(axis=1) * 1000
    low, high = np.quantile(rates, [0.025, 0.975])
    return float(low), float(high)
