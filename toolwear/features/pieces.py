"""Cut a run's stored rows into pieces within which they can follow one another."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from toolwear.dataset.contract import DataSet, Order
from toolwear.dataset.limits import limit_columns
from toolwear.features.compute import is_cutting

_SPINDLE_SLACK = 1.0  # revolutions
_AXIS_SLACK = 0.5  # mm, beside one more sample of the fastest axis

SPIN, _SPEED = 0, 1  # columns of an array of motion; positions of the axes and velocities follow


def order_columns(dataset: DataSet) -> tuple[str, ...]:
    """Return the columns that `Cutter.add` must be given."""
    limits = limit_columns(dataset.rows.cutting)
    return limits if dataset.order is None else (*dataset.order.motion, dataset.order.line, *limits)


def place(motion: np.ndarray) -> np.ndarray:
    """Return the positions of the axes out of rows of motion."""
    return motion[..., 2 : 2 + (motion.shape[-1] - 2) // 2]


def _velocity(motion: np.ndarray) -> np.ndarray:
    return motion[..., 2 + (motion.shape[-1] - 2) // 2 :]


@dataclass(frozen=True)
class Pieces:
    """Pieces in stored order; arrays of motion have the columns of `Order.motion`."""

    start: np.ndarray
    rows: np.ndarray
    first: np.ndarray
    last: np.ndarray
    first_cutting: np.ndarray
    last_cutting: np.ndarray
    line: np.ndarray  # the last G-code line that is not stale; NaN if there is none
    slowest: np.ndarray  # spindle speed
    fastest: np.ndarray
    place_sum: np.ndarray  # sum of the axis positions, shape (pieces, axes)


class Cutter:
    """Cuts a stream of rows into pieces, with two rows of memory across chunks.

    Args:
        how: what tells the order of rows.
        dataset: the data set's contract.
    """

    def __init__(self, how: Order, dataset: DataSet) -> None:
        self._how = how
        self._columns = list(how.motion)
        self._limits = dataset.rows.cutting
        self._period = dataset.recordings.sample_period_seconds
        self.slips = 0
        self.cutting_slips = 0
        self._rows = 0
        self._tail = np.empty((0, len(self._columns)))
        self._tail_cutting = np.empty(0, dtype=bool)
        self._found: list[Pieces] = []
        self._begins: list[np.ndarray] = []  # False where a piece goes on from the chunk before

    def add(self, chunk: pd.DataFrame) -> None:
        """Cut the next rows."""
        if chunk.empty:
            return
        known = len(self._tail)
        motion = np.concatenate([self._tail, chunk[self._columns].to_numpy(dtype=np.float64)])
        cutting = np.concatenate([self._tail_cutting, is_cutting(chunk, self._limits)])
        spindle, axis = self._breaks(motion[:-1], motion[1:])
        # A late axis break repeats the spindle's: both belong to one seam.
        slip = np.zeros_like(axis)
        slip[1:] = axis[1:] & ~spindle[1:] & spindle[:-1]
        fresh = slice(max(known - 1, 0), None)  # pairs that end in a row of this chunk
        self.slips += int(slip[fresh].sum())
        self.cutting_slips += int((slip & cutting[1:] & cutting[:-1])[fresh].sum())
        cut = ((spindle | axis) & ~slip)[fresh]
        begins = cut if known else np.concatenate([[True], cut])
        part = self._cut(chunk, motion[known:], cutting[known:], begins)
        self._found.append(part)
        self._begins.append(begins[part.start - self._rows])
        self._rows += len(chunk)
        self._tail, self._tail_cutting = motion[-2:], cutting[-2:]

    def _cut(
        self, chunk: pd.DataFrame, motion: np.ndarray, cutting: np.ndarray, begins: np.ndarray
    ) -> Pieces:
        start = np.flatnonzero(begins)
        if len(start) == 0 or start[0] != 0:
            start = np.concatenate([[0], start])  # goes on with the piece of the chunk before
        end = np.concatenate([start[1:], [len(motion)]]) - 1
        line = chunk[self._how.line].to_numpy(dtype=np.float64)
        return Pieces(
            start=self._rows + start,
            rows=end - start + 1,
            first=motion[start],
            last=motion[end],
            first_cutting=cutting[start],
            last_cutting=cutting[end],
            line=_last(np.where(line == self._how.stale_line, np.nan, line), start, end),
            slowest=np.minimum.reduceat(motion[:, _SPEED], start),
            fastest=np.maximum.reduceat(motion[:, _SPEED], start),
            place_sum=_sums(place(motion), start),
        )

    def pieces(self) -> Pieces:
        """Return all pieces, those joined that a chunk's end had cut."""
        names = [field.name for field in fields(Pieces)]
        found = {
            name: np.concatenate([getattr(part, name) for part in self._found]) for name in names
        }
        begins = np.concatenate(self._begins)
        if not begins.all():
            start = np.flatnonzero(begins)
            end = np.concatenate([start[1:], [len(begins)]]) - 1
            found = {
                "start": found["start"][start],
                "rows": np.add.reduceat(found["rows"], start),
                **{name: found[name][start] for name in ("first", "first_cutting")},
                **{name: found[name][end] for name in ("last", "last_cutting")},
                "line": _last(found["line"], start, end),
                "slowest": np.minimum.reduceat(found["slowest"], start),
                "fastest": np.maximum.reduceat(found["fastest"], start),
                "place_sum": _sums(found["place_sum"], start),
            }
        return Pieces(**found)

    def seams(self, pieces: Pieces, order: np.ndarray) -> tuple[int, int]:
        """Return the discontinuities between pieces in this order: all, between cutting rows."""
        left, right = order[:-1], order[1:]
        spindle, axis = self._breaks(pieces.last[left], pieces.first[right])
        broken = spindle | axis
        return int(broken.sum()), int(
            (broken & pieces.last_cutting[left] & pieces.first_cutting[right]).sum()
        )

    def _breaks(self, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return whether rows cannot follow one another, by the spindle and by the axes.

        Args:
            before: rows, shape (pairs, columns of motion).
            after: the row stored or put after each.
        """
        period = self._period
        advance = around(after[:, SPIN] - before[:, SPIN], self._how.wraps_at)
        read = resolution(before[:, SPIN], after[:, SPIN])
        furthest = period * np.maximum(0, np.maximum(before[:, _SPEED], after[:, _SPEED]))
        spindle = (advance < -read) | (advance > furthest + read + _SPINDLE_SLACK)

        moved = place(after) - place(before)
        step, next_step = period * _velocity(before), period * _velocity(after)
        lower, upper = np.minimum(step, next_step), np.maximum(step, next_step)
        # Velocity may turn within a sample, by as much as the fastest axis runs.
        fastest = np.maximum(-lower, upper).max(axis=1)[:, np.newaxis]
        slack = resolution(place(before), place(after)) + _AXIS_SLACK + fastest
        low, high = np.minimum(lower, 0), np.maximum(upper, 0)
        axis = ((moved < low - slack) | (moved > high + slack)).any(axis=1)
        return spindle, axis


def _last(values: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return each stretch's last value that is not NaN, and NaN where there is none."""
    known = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(len(values))))[end]
    return np.where(known >= start, values[known], np.nan)


def _sums(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the sums of the stretches that begin at `start`, shape (stretches, columns)."""
    return np.stack([np.add.reduceat(column, start) for column in values.T], axis=1)


def around(revolutions: np.ndarray, wraps_at: float) -> np.ndarray:
    """Return differences of a counter that wraps as the shorter way around."""
    return (revolutions + wraps_at / 2) % wraps_at - wraps_at / 2


def resolution(value: np.ndarray, other: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the coarser step of two readings that were stored with three significant digits."""
    size = np.maximum(np.abs(value), np.abs(other))
    return np.where(size >= 1000, 10.0, np.where(size >= 100, 1.0, 0.1))
