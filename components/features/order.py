"""Restore the time order of a run whose rows were stored in shuffled batches.

Rows within a batch are in order, and nothing marks where a batch ends. So: cut the stored rows
wherever two neighbours cannot be consecutive samples of one movement, then sort the pieces by
what only grows during a run: the G-code line and, within a line, the spindle's position (a
counter of revolutions that wraps). Where the spindle stands still the way along the movement
decides. A run whose pieces fit no better after sorting than before is left as it was stored.

Where it stays imperfect: rows that a recording has lost or holds twice; and in some recordings the
axis and program columns slip by a row against the spindle columns, so that rows at the seams
mix two batches and no order can be right for both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from components.core import schema
from components.features.compute import is_cutting
from components.features.definitions import (
    AXIS_POSITION,
    AXIS_VELOCITY,
    CUTTING_ABOVE,
    CUTTING_BELOW,
    SPINDLE_POSITION,
    SPINDLE_VELOCITY,
)

REVOLUTIONS = 2**32 / 1e6  # at which the spindle's counter wraps: 4294.967296
_STALE_LINE = 2.0  # the line that the first row of a batch shows whatever the program does
_STANDING = 5.0  # revolutions/s below which the spindle counts as standing
_SPINDLE_SLACK = 1.0  # revolutions
_AXIS_SLACK = 0.5  # mm, beside one more sample of the fastest axis

_AXES = len(AXIS_POSITION)
_MOTION = [SPINDLE_POSITION, SPINDLE_VELOCITY, *AXIS_POSITION, *AXIS_VELOCITY]
_SPIN, _SPEED = 0, 1
_PLACE, _VELOCITY = slice(2, 2 + _AXES), slice(2 + _AXES, 2 + 2 * _AXES)
# What `plan` must be given.
ORDER_COLUMNS = tuple(
    dict.fromkeys((*_MOTION, schema.SEQUENCE_NUMBER, *CUTTING_BELOW, *CUTTING_ABOVE))
)


@dataclass(frozen=True)
class Plan:
    """Pieces of a run in stored order, and where each goes.

    Attributes:
        start: stored position of each piece's first row, ascending.
        offset: time index of that row.
        restored: whether any piece moves.
        discontinuities: neighbours that cannot be consecutive samples, as stored.
        discontinuities_after: the same in the order of the plan.
        cutting, cutting_after: those of them between two cutting rows.
        slips: seams at which axis columns follow the spindle's a row late, as stored.
    """

    start: np.ndarray
    offset: np.ndarray
    restored: bool
    discontinuities: int
    discontinuities_after: int
    cutting: int
    cutting_after: int
    slips: int

    def time_index(self, stored: np.ndarray) -> np.ndarray:
        """Return the time index of rows by their stored positions."""
        piece = np.searchsorted(self.start, stored, side="right") - 1
        return self.offset[piece] + (stored - self.start[piece])

    def summary(self) -> dict[str, int | bool]:
        """Return the counts for the manifest."""
        return {
            "restored": self.restored,
            "pieces": len(self.start),
            "discontinuities_before": self.discontinuities,
            "discontinuities_after": self.discontinuities_after,
            "cutting_discontinuities_before": self.cutting,
            "cutting_discontinuities_after": self.cutting_after,
            "column_slips": self.slips,
        }


def plan(chunks: Iterable[pd.DataFrame], restore: bool = True) -> Plan:
    """Return the order of a run's rows; memory grows with the pieces, not with the rows.

    Args:
        chunks: the run's rows with `ORDER_COLUMNS`, in stored order, in one or more frames.
        restore: False to count the discontinuities and keep the stored order.
    """
    cutter = _Cutter()
    for chunk in chunks:
        cutter.add(chunk)
    pieces = cutter.pieces()
    order = _sorted(pieces) if restore else np.arange(len(pieces.start))
    stored = np.arange(len(pieces.start))
    before, cutting = _seams(pieces, stored)
    after, cutting_after = _seams(pieces, order)
    if after >= before:
        order, after, cutting_after = stored, before, cutting
    offset = np.empty(len(order), dtype=np.int64)
    lengths = pieces.rows[order]
    offset[order] = np.cumsum(lengths) - lengths
    return Plan(
        start=pieces.start,
        offset=offset,
        restored=bool((order != stored).any()),
        discontinuities=before + cutter.slips,
        discontinuities_after=after + cutter.slips,
        cutting=cutting + cutter.cutting_slips,
        cutting_after=cutting_after + cutter.cutting_slips,
        slips=cutter.slips,
    )


@dataclass(frozen=True)
class _Pieces:
    """Pieces in stored order; arrays of motion have the columns of `_MOTION`."""

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


class _Cutter:
    """Cuts a stream of rows into pieces, with two rows of memory across chunks."""

    def __init__(self) -> None:
        self.slips = 0
        self.cutting_slips = 0
        self._rows = 0
        self._tail = np.empty((0, len(_MOTION)))
        self._tail_cutting = np.empty(0, dtype=bool)
        self._tables: list[pd.DataFrame] = []

    def add(self, chunk: pd.DataFrame) -> None:
        """Cut the next rows."""
        if chunk.empty:
            return
        known = len(self._tail)
        motion = np.concatenate([self._tail, chunk[_MOTION].to_numpy(dtype=np.float64)])
        cutting = np.concatenate([self._tail_cutting, is_cutting(chunk)])
        spindle, axis = _breaks(motion[:-1], motion[1:])
        # A late axis break repeats the spindle's: both belong to one seam.
        slip = np.zeros_like(axis)
        slip[1:] = axis[1:] & ~spindle[1:] & spindle[:-1]
        fresh = slice(max(known - 1, 0), None)  # pairs that end in a row of this chunk
        self.slips += int(slip[fresh].sum())
        self.cutting_slips += int((slip & cutting[1:] & cutting[:-1])[fresh].sum())
        cut = ((spindle | axis) & ~slip)[fresh]
        begins = cut if known else np.concatenate([[True], cut])
        self._tables.append(self._table(chunk, motion[known:], cutting[known:], begins))
        self._rows += len(chunk)
        self._tail, self._tail_cutting = motion[-2:], cutting[-2:]

    def _table(
        self, chunk: pd.DataFrame, motion: np.ndarray, cutting: np.ndarray, begins: np.ndarray
    ) -> pd.DataFrame:
        start = np.flatnonzero(begins)
        if len(start) == 0 or start[0] != 0:
            start = np.concatenate([[0], start])  # goes on with the piece of the chunk before
        end = np.concatenate([start[1:], [len(motion)]]) - 1
        line = chunk[schema.SEQUENCE_NUMBER].to_numpy(dtype=np.float64)
        fresh = np.where(line == _STALE_LINE, -1, np.arange(len(line)))
        last_fresh = np.maximum.accumulate(fresh)[end]
        return pd.DataFrame(
            {
                "begins": begins[start],
                "start": self._rows + start,
                "rows": end - start + 1,
                "line": np.where(last_fresh >= start, line[last_fresh], np.nan),
                "slowest": np.minimum.reduceat(motion[:, _SPEED], start),
                "fastest": np.maximum.reduceat(motion[:, _SPEED], start),
                "first_cutting": cutting[start],
                "last_cutting": cutting[end],
                **{f"first{i}": motion[start, i] for i in range(len(_MOTION))},
                **{f"last{i}": motion[end, i] for i in range(len(_MOTION))},
                **{
                    f"sum{i}": np.add.reduceat(motion[:, _PLACE][:, i], start) for i in range(_AXES)
                },
            }
        )

    def pieces(self) -> _Pieces:
        """Return all pieces, those joined that a chunk's end had cut."""
        table = pd.concat(self._tables, ignore_index=True)
        if not table["begins"].all():
            how = {
                column: "sum"
                if column == "rows" or column.startswith("sum")
                else {"slowest": "min", "fastest": "max"}.get(
                    column, "last" if column.startswith(("last", "line")) else "first"
                )
                for column in table.columns
            }
            table = table.groupby(table["begins"].cumsum(), sort=False).agg(how)
        first = table[[f"first{i}" for i in range(len(_MOTION))]].to_numpy()
        last = table[[f"last{i}" for i in range(len(_MOTION))]].to_numpy()
        named = ("start", "rows", "line", "slowest", "fastest", "first_cutting", "last_cutting")
        return _Pieces(
            first=first,
            last=last,
            place_sum=table[[f"sum{i}" for i in range(_AXES)]].to_numpy(),
            **{name: table[name].to_numpy() for name in named},
        )


def _breaks(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether rows cannot follow one another, by the spindle and by the axes.

    Args:
        before: rows, shape (pairs, columns of `_MOTION`).
        after: the row stored or put after each.
    """
    period = schema.SAMPLE_PERIOD_SECONDS
    advance = _around(after[:, _SPIN] - before[:, _SPIN])
    read = np.maximum(_resolution(before[:, _SPIN]), _resolution(after[:, _SPIN]))
    furthest = period * np.maximum(0, np.maximum(before[:, _SPEED], after[:, _SPEED]))
    spindle = (advance < -read) | (advance > furthest + read + _SPINDLE_SLACK)

    moved = after[:, _PLACE] - before[:, _PLACE]
    read = np.maximum(_resolution(before[:, _PLACE]), _resolution(after[:, _PLACE]))
    steps = period * np.stack([before[:, _VELOCITY], after[:, _VELOCITY]])
    # Velocity may turn within a sample, by as much as the fastest axis runs.
    slack = read + _AXIS_SLACK + np.abs(steps).max(axis=(0, 2))[:, np.newaxis]
    low, high = np.minimum(steps.min(axis=0), 0), np.maximum(steps.max(axis=0), 0)
    axis = ((moved < low - slack) | (moved > high + slack)).any(axis=1)
    return spindle, axis


def _seams(pieces: _Pieces, order: np.ndarray) -> tuple[int, int]:
    """Return the discontinuities between pieces in this order: all, between cutting rows."""
    left, right = order[:-1], order[1:]
    spindle, axis = _breaks(pieces.last[left], pieces.first[right])
    broken = spindle | axis
    return int(broken.sum()), int(
        (broken & pieces.last_cutting[left] & pieces.first_cutting[right]).sum()
    )


def _sorted(pieces: _Pieces) -> np.ndarray:
    line = _program_lines(pieces)
    spin = pieces.first[:, _SPIN]
    return np.lexsort((pieces.start, _way(pieces, line), _advance(line, spin), line))


def _program_lines(pieces: _Pieces) -> np.ndarray:
    """Return each piece's G-code line; 0 before the program, infinity after it."""
    standing = pieces.fastest < _STANDING
    line = np.where(np.isnan(pieces.line) & standing, 0, pieces.line)
    line = pd.Series(line).ffill().fillna(0).to_numpy(copy=True)
    turning_lines = line[(pieces.slowest > _STANDING) & (line > 0)]
    if len(turning_lines):
        # Once started the spindle turns to the end: standing at a later line is idling.
        line[standing & (line >= turning_lines.min())] = 0
    programmed = np.flatnonzero(line > 0)
    if len(programmed):
        begin = pieces.first[programmed[np.argmin(line[programmed])], _SPIN]
        away = np.abs(_around(pieces.first[:, _SPIN] - begin))
        waiting = standing & (away <= 2 * _resolution(begin))
        line[(line == 0) & ~waiting] = np.inf
    return line


def _advance(line: np.ndarray, spin: np.ndarray) -> np.ndarray:
    """Return the revolutions since the first piece of the same line.

    The counter wraps, so the pieces of a line lie on a circle: the first one follows the widest
    gap. A line takes less than a turn of the counter (80 s).
    """
    order = np.lexsort((spin, line))
    line, spin = line[order], spin[order]
    is_first = np.concatenate([[True], line[1:] != line[:-1]])
    group = np.cumsum(is_first) - 1
    first = np.flatnonzero(is_first)
    last = np.concatenate([first[1:], [len(line)]]) - 1
    gap = np.diff(spin, prepend=0)
    gap[first] = spin[first] + REVOLUTIONS - spin[last]
    widest = np.lexsort((-gap, group))[first]
    advance = np.empty_like(spin)
    advance[order] = (spin - spin[widest][group]) % REVOLUTIONS
    return advance


def _way(pieces: _Pieces, line: np.ndarray) -> np.ndarray:
    """Return how far along its line's mean movement a piece lies, up to a factor (mm^2)."""
    group = pd.factorize(line)[0]
    direction = np.zeros((group.max() + 1, _AXES))
    np.add.at(direction, group, pieces.last[:, _PLACE] - pieces.first[:, _PLACE])
    centre = pieces.place_sum / pieces.rows[:, np.newaxis]
    way: np.ndarray = (centre * direction[group]).sum(axis=1)
    return way


def _around(revolutions: np.ndarray) -> np.ndarray:
    """Return differences of the counter as the shorter way around."""
    return (revolutions + REVOLUTIONS / 2) % REVOLUTIONS - REVOLUTIONS / 2


def _resolution(value: np.ndarray) -> np.ndarray:
    """Return the step of a reading that was stored with three significant digits."""
    size = np.abs(value)
    return np.select([size >= 1000, size >= 100], [10.0, 1.0], 0.1)
