"""Turns rows of the payload log into windows, and windows into alarms. Reads and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from serving.monitor.judge import Judge, sensor_fails
from serving.monitor.kinds import IMITATED, JUDGING, Kind, Result
from serving.monitor.state import PackageState, State, Window
from serving.monitor.tally import LabelTally, QualityTally, RegimeTally
from serving.payload.records import PROBABILITY
from toolwear.common.thresholds import Monitor
from toolwear.dataset import schema
from toolwear.model.drift import regime_name

QUALITY, LABELS = "rows", "labels"
Tally = RegimeTally | QualityTally | LabelTally
Judges = Callable[[str], Judge | None]
_SHORT = 12
_MOST_PACKAGES = 8  # champion, candidate, and some before them
_MOST_RUNS = 10_000


@dataclass(frozen=True, eq=False)
class Closed:
    """A window that is done, with what it was made of."""

    window: Window
    tally: Tally
    judge: Judge
    regime: str = ""


class Watch:
    """Counts rows into windows.

    Args:
        state: goes on from here, and is changed.
        judges: returns the judge of a package, None if the package has no reference.
        thresholds: from the reviewed file.
    """

    def __init__(self, state: State, judges: Judges, thresholds: Monitor) -> None:
        self._state = state
        self._judges = judges
        self._thresholds = thresholds

    def rows(self, frame: pd.DataFrame) -> Iterator[Closed]:
        """Count answered rows, in their order; yield each window as it is done."""
        self._state.rows += len(frame)
        for digest, part in frame.groupby("package_digest", sort=False):
            judge = self._judges(str(digest))
            if judge is None:
                self._state.unreferenced_rows += len(part)
                continue
            part = self._new(part[part[PROBABILITY].notna()], self._package(str(digest)))
            yield from self._regimes(part, str(digest), judge)
            yield from self._quality(part, str(digest), judge)

    def labels(self, frame: pd.DataFrame) -> Iterator[Closed]:
        """Count labelled rows with their answers; yield each window as it is done."""
        for digest, part in frame.groupby("package_digest", sort=False):
            judge = self._judges(str(digest))
            # While the tool does not cut there is nothing to be right about.
            part = part[part[PROBABILITY].notna() & (part[schema.IS_CUTTING] != False)]  # noqa: E712
            if judge is None:
                continue
            package = self._package(str(digest))
            self._state.labelled_rows += len(part)
            while len(part):
                room = self._thresholds.labelled_rows - package.labels.rows
                tally = package.labels.add(part.iloc[:room])
                part = part.iloc[room:]
                if tally.rows == self._thresholds.labelled_rows:
                    package.labels = LabelTally()
                    window = self._window(str(digest), LABELS, tally)
                    yield self._closed(window, tally, judge)

    def _regimes(self, part: pd.DataFrame, digest: str, judge: Judge) -> Iterator[Closed]:
        package = self._package(digest)
        # What is missing is the quality's matter; here it would only spoil sums.
        whole = np.isfinite(part[list(judge.reference.features)].to_numpy(dtype=np.float64))
        known = (part[schema.IS_CUTTING] == True) & whole.all(axis=1)  # noqa: E712
        cutting = part[known]
        if judge.reference.regimes.keys() == {regime_name(None)}:
            parts = [(regime_name(None), cutting)]
        else:  # rows of which nobody knows it are left out
            grouped = cutting.groupby(schema.REGIME, sort=False)
            parts = [(regime_name(float(str(value))), rows) for value, rows in grouped]
        for regime, rows in parts:
            left = rows
            while len(left):
                tally = package.regimes.setdefault(regime, RegimeTally())
                room = judge.reference.window - tally.rows
                tally.add(left.iloc[:room], judge.reference, regime)
                left = left.iloc[room:]
                if tally.rows == judge.reference.window:
                    del package.regimes[regime]
                    window = self._window(digest, judge.about(regime), tally)
                    yield self._closed(window, tally, judge, regime)

    def _quality(self, part: pd.DataFrame, digest: str, judge: Judge) -> Iterator[Closed]:
        package = self._package(digest)
        idle = (part[schema.IS_CUTTING] == False).to_numpy()  # noqa: E712
        for start, end in _runs(idle):
            left = part.iloc[start:end]
            if idle[start]:
                package.quality.pass_over(left)
                if package.quality.idle >= self._thresholds.idle_rows:
                    yield self._quality_done(digest, judge)
                continue
            package.quality.idle = 0
            while len(left):
                room = judge.reference.window - package.quality.rows
                package.quality.add(left.iloc[:room], judge.reference)
                left = left.iloc[room:]
                if package.quality.rows == judge.reference.window:
                    yield self._quality_done(digest, judge)

    def _quality_done(self, digest: str, judge: Judge) -> Closed:
        package = self._package(digest)
        tally, package.quality = package.quality, QualityTally()
        return self._closed(self._window(digest, QUALITY, tally), tally, judge)

    def _new(self, part: pd.DataFrame, package: PackageState) -> pd.DataFrame:
        """Return the rows without those of runs whose newest features were counted before."""
        known = part["run_id"].notna() & part["feature_timestamp"].notna()
        if not known.any():
            return part
        keep = np.ones(len(part), dtype=bool)
        for place in np.flatnonzero(known.to_numpy()):
            run, when = part["run_id"].iloc[place], part["feature_timestamp"].iloc[place]
            stamp = when.isoformat()
            keep[place] = package.newest.get(run) != stamp
            package.newest.pop(run, None)
            package.newest[run] = stamp  # at the end: the longest unseen go first
        for run in list(package.newest)[:-_MOST_RUNS]:
            del package.newest[run]
        return part[keep]

    def _package(self, digest: str) -> PackageState:
        packages = self._state.packages
        if digest not in packages:
            packages[digest] = PackageState()
            for old in list(packages)[:-_MOST_PACKAGES]:
                del packages[old]
        return packages[digest]

    def _window(self, digest: str, about: str, tally: Tally) -> Window:
        package = self._package(digest)
        number = package.closed.get(about, 0) + 1
        package.closed[about] = number
        return Window(
            id=f"{digest[:_SHORT]}-{about}-{number:06d}",
            package=digest,
            about=about,
            rows=tally.rows,
            first=tally.first,
            last=tally.last,
            verdicts={},
        )

    def _closed(self, window: Window, tally: Tally, judge: Judge, regime: str = "") -> Closed:
        if isinstance(tally, RegimeTally):
            window.verdicts = judge.regime(tally, regime)
        elif isinstance(tally, QualityTally):
            window.verdicts = judge.quality(tally)
        else:
            window.verdicts = judge.labels(tally)
        self._state.close(window)
        return Closed(window, tally, judge, regime)


def alarms(state: State, package: str, thresholds: Monitor) -> dict[Kind, bool]:
    """Return which kinds are in alarm: `alarms` of the last windows, the latest among them.

    What the latest window shows while a sensor fails is attributed to the sensor fault.
    """
    found = {}
    for kind in Kind:
        windows = [w for w in state.of_kind(kind, package) if w.verdicts[kind].result in JUDGING]
        last = windows[-thresholds.of_windows :]
        results = [window.verdicts[kind].result for window in last]
        raised = results.count(Result.ALARM) >= thresholds.alarms and results[-1] == Result.ALARM
        found[kind] = raised and not (kind in IMITATED and _while_failing(state, last[-1]))
    return found


def _while_failing(state: State, window: Window) -> bool:
    """Tell whether a sensor was failing during a window, as far as is known by now."""
    first, last = _moment(window.first), _moment(window.last)
    return any(
        _moment(other.first) <= last and _moment(other.last) >= first
        for other in state.of_kind(Kind.QUALITY, window.package)
        if sensor_fails(other.verdicts[Kind.QUALITY])
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _runs(flags: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield start and end of each stretch of equal flags."""
    if len(flags):
        cuts = np.flatnonzero(np.diff(flags)) + 1
        yield from zip([0, *cuts.tolist()], [*cuts.tolist(), len(flags)], strict=True)
