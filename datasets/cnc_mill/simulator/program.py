"""The machine's program for one work piece: where axes and spindle are told to be, and when.

A work piece is three layers: rapid from home, plunge, once around the part, retract, and so on.
All of it is exact; noise comes later. Positions are kept at half samples, so that velocities and
accelerations are central differences and the movement is continuous by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from datasets.cnc_mill import names
from datasets.cnc_mill.simulator import constants as c
from datasets.cnc_mill.simulator.digits import three_digits as rounded_to_three_digits

_PERIOD = names.SAMPLE_PERIOD_SECONDS
_POINTS_PER_CORNER = 24
_AXES = 3
_DUST_DIGITS = 6


@dataclass(frozen=True)
class Program:
    """One work piece, row by row; arrays of shape (rows,) or (axes X Y Z, rows).

    Attributes:
        command: position, velocity and acceleration that the axes are told, shape (3, 3, rows).
        actual: position that the axes have, shape (3, rows).
        spindle: speed and acceleration that the spindle is told, shape (2, rows).
        turns: revolutions since the first row; `turns_in_all` to the next work piece.
        velocity: the axes' velocities before rounding, shape (3, rows).
        acceleration: the axes' accelerations before rounding, shape (3, rows).
        feeding, cutting: whether the axes feed (0 or 1), whether the tool cuts (0 or 1).
    """

    command: np.ndarray
    actual: np.ndarray
    spindle: np.ndarray
    turns: np.ndarray
    turns_in_all: float
    velocity: np.ndarray
    acceleration: np.ndarray
    feeding: np.ndarray
    cutting: np.ndarray
    line: np.ndarray
    feedrate: np.ndarray
    phase: np.ndarray  # index into `names.PHASES`

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.line)


@cache
def way() -> tuple[np.ndarray, float]:
    """Return points of one layer's way, shape (points, 2), and the share that goes up.

    The corners are joined by a Catmull-Rom spline (Catmull and Rom 1974).
    """
    corners = np.array([*c.WAY_UP, *c.WAY_DOWN], dtype=float)
    padded = np.vstack([corners[0], corners, corners[-1]])
    before, start, end, after = (padded[i : len(padded) - 3 + i] for i in range(4))
    t = np.linspace(0, 1, _POINTS_PER_CORNER, endpoint=False)[:, None, None]
    spline = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )
    points = np.vstack([spline.transpose(1, 0, 2).reshape(-1, 2), corners[-1]])
    along = _lengths(points)
    return points, float(along[(len(c.WAY_UP) - 1) * _POINTS_PER_CORNER] / along[-1])


def _lengths(points: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


class _Plan:
    """A movement as knots in time, and stretches that share a phase, a line and a feed rate."""

    def __init__(self) -> None:
        self.times = [0.0]
        self.places = [np.array(c.HOME)]
        self.stretches: list[tuple[float, str, float, float, bool]] = []
        self.spindle = [(0.0, 0.0)]

    def wait(self, seconds: float, phase: str, line: float, feed: float = c.RAPID_FEED) -> None:
        self._mark(phase, line, feed)
        self._knots(np.array([seconds]), self.places[-1][None, :])

    def go(self, points: np.ndarray, feed: float, phase: str, line: float) -> None:
        self._mark(phase, line, feed)
        self._knots(_lengths(np.vstack([self.places[-1], points]))[1:] / feed, points)

    def cut(self, depth: float, feed: float, layer: int, start_line: int, share: float) -> None:
        """Go around the part, or the first `share` of the way around."""
        points, up = way()
        along = _lengths(points)
        points = points[along <= share * along[-1]]
        seconds = along[: len(points)] / feed
        begins = self.times[-1]
        marks = [(at, start_line + line - c.LINES[0], at < up) for at, line in _line_marks()]
        marks += [(up, next(line for at, line, _ in reversed(marks) if at <= up), False)]
        for at, line, is_up in sorted(marks):
            if at < share:
                phase = f"Layer {layer} {'Up' if is_up else 'Down'}"
                self._mark(phase, line, feed, at=begins + at * along[-1] / feed, cutting=True)
        self._knots(seconds, np.column_stack([points, np.full(len(points), depth)]))

    def turn(self, speed: float) -> None:
        """Let the spindle change to a speed from now on, while the axes go on."""
        now, last = self.times[-1], self.spindle[-1][1]
        self.spindle += [(now, last), (now + abs(speed - last) / c.SPINDLE_RAMP, speed)]

    def _mark(
        self, phase: str, line: float, feed: float, at: float | None = None, cutting: bool = False
    ) -> None:
        when = self.times[-1] if at is None else at
        self.stretches.append((when, phase, line, feed, cutting))

    def _knots(self, seconds: np.ndarray, points: np.ndarray) -> None:
        self.times.extend((self.times[-1] + seconds).tolist())
        self.places.extend(points)


def _line_marks() -> list[tuple[float, int]]:
    return list(zip(c.LINE_STARTS.tolist(), c.LINES, strict=True))


def _plan(feed: float, z_offset: float, cut_share: float, idle_seconds: float) -> _Plan:
    start = np.array(c.WAY_UP[0], dtype=float)
    plan = _Plan()
    plan.wait(idle_seconds, "Prep", 0)
    plan.go(np.array([[*start, c.ABOVE_START + z_offset]]), c.RAPID_FEED, "Prep", 7)
    plan.wait(c.DWELL_SECONDS, "Prep", 9)
    plan.turn(c.SPINDLE_SPEED)
    left = cut_share * len(c.LAYER_DEPTHS)
    for layer, (height, offset) in enumerate(
        zip(c.LAYER_DEPTHS, c.LAYER_LINE_OFFSETS, strict=True), start=1
    ):
        depth, line = height + z_offset, c.LINES[0] + offset
        plan.go(np.array([[*start, depth]]), feed, f"Layer {layer} Up", line)
        plan.cut(depth, feed, layer, line, min(1.0, left))
        left -= 1
        here = plan.places[-1][:2]
        up = np.array([*here, c.RETRACTED + z_offset])
        if left <= 0:
            break
        last = c.LINES[-1] + offset
        plan.go(up[None, :], c.RAPID_FEED, "Repositioning", last + 1)
        plan.go(np.array([[*start, up[2]]]), c.RAPID_FEED, "Repositioning", last + 2)
        plan.go(
            np.array([[*start, c.PLUNGE_FROM + z_offset]]), c.RAPID_FEED, "Repositioning", last + 3
        )
    plan.go(up[None, :], c.RAPID_FEED, "End", 132)
    plan.turn(0.0)
    plan.wait(c.SPINDLE_SPEED / c.SPINDLE_RAMP + c.DWELL_SECONDS, "End", 134)
    plan.go(np.array([c.HOME]), c.RAPID_FEED, "End", 135)
    plan.wait(_PERIOD, "End", 135)
    return plan


@cache
def program_rows(feedrate: float, cut_share: float = 1.0) -> int:
    """Return the rows from home to home."""
    return int(np.ceil(_plan(feedrate, 0.0, cut_share, _PERIOD).times[-1] / _PERIOD))


@lru_cache(maxsize=256)
def program(
    feedrate: float, z_offset: float, cut_share: float, rows: int, three_digits: bool
) -> Program:
    """Return the program of one work piece.

    Args:
        feedrate: mm/s in the cut.
        z_offset: mm by which all depths are higher.
        cut_share: share of the way that is cut before the program is aborted; 1: all.
        rows: length; what the program does not need is waited out at home, or it is cut short.
        three_digits: whether what is exact is rounded to three digits here, once for all runs.
    """
    surplus = max(1.0, 0.4 * (rows - program_rows(feedrate, cut_share)))
    plan = _plan(feedrate, z_offset, cut_share, surplus * _PERIOD)
    half = np.arange(-1, 2 * rows) * (_PERIOD / 2)
    times, places = np.array(plan.times), np.array(plan.places)

    def at(when: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(when, times, places[:, axis]) for axis in range(_AXES)])

    halves = at(half)
    now, position = half[1::2], halves[:, 1::2]
    # Rounded to well below the sensors' resolution: differences leave dust where nothing moves.
    velocity = np.round((halves[:, 2::2] - halves[:, 0:-2:2]) / _PERIOD, _DUST_DIGITS)
    acceleration = np.round(np.gradient(velocity, _PERIOD, axis=1), _DUST_DIGITS)
    speed = np.interp(now, *np.array(plan.spindle).T)
    stretch = np.searchsorted([s[0] for s in plan.stretches], now, side="right") - 1
    feed = np.array([s[3] for s in plan.stretches])[stretch]
    cutting = np.array([s[4] for s in plan.stretches], dtype=float)[stretch]
    phases = np.array([names.PHASES.index(s[1]) for s in plan.stretches])[stretch]
    phases[0] = names.PHASES.index("Starting")
    command = np.stack([position, velocity, acceleration])
    actual = at(now - c.FOLLOWING_LAG)
    spindle = np.stack([speed, np.gradient(speed, _PERIOD)])
    turns = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * _PERIOD)])
    if three_digits:
        command, actual, spindle = map(rounded_to_three_digits, (command, actual, spindle))
    return Program(
        command=command,
        actual=actual,
        spindle=spindle,
        turns=turns,
        turns_in_all=float(turns[-1] + speed[-1] * _PERIOD),
        velocity=velocity,
        acceleration=acceleration,
        feeding=(feed < c.RAPID_FEED).astype(float),
        cutting=cutting,
        line=np.array([float(s[2]) for s in plan.stretches])[stretch],
        feedrate=feed,
        phase=phases,
    )
