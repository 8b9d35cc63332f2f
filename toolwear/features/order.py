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

from toolwear.dataset.contract import DataSet
from toolwear.features.pieces import SPIN, Cutter, Pieces, around, place, resolution

_STANDING = 5.0  # revolutions/s below which the spindle counts as standing


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


_STORED = Plan(
    start=np.array([0]),
    offset=np.array([0]),
    restored=False,
    discontinuities=0,
    discontinuities_after=0,
    cutting=0,
    cutting_after=0,
    slips=0,
)


def plan(chunks: Iterable[pd.DataFrame], dataset: DataSet, restore: bool = True) -> Plan:
    """Return the order of a run's rows; memory grows with the pieces, not with the rows.

    Args:
        chunks: the run's rows with `pieces.order_columns`, in stored order, in one or more frames.
        dataset: the data set's contract; one that says nothing of the order keeps the stored one.
        restore: False to count the discontinuities and keep the stored order.
    """
    how = dataset.order
    if how is None:
        for _ in chunks:  # whoever reads them may wait for their end
            pass
        return _STORED
    cutter = Cutter(how, dataset)
    for chunk in chunks:
        cutter.add(chunk)
    pieces = cutter.pieces()
    order = _sorted(pieces, how.wraps_at) if restore else np.arange(len(pieces.start))
    stored = np.arange(len(pieces.start))
    before, cut = cutter.seams(pieces, stored)
    after, cut_after = cutter.seams(pieces, order)
    if after >= before:
        order, after, cut_after = stored, before, cut
    offset = np.empty(len(order), dtype=np.int64)
    lengths = pieces.rows[order]
    offset[order] = np.cumsum(lengths) - lengths
    return Plan(
        start=pieces.start,
        offset=offset,
        restored=bool((order != stored).any()),
        discontinuities=before + cutter.slips,
        discontinuities_after=after + cutter.slips,
        cutting=cut + cutter.cutting_slips,
        cutting_after=cut_after + cutter.cutting_slips,
        slips=cutter.slips,
    )


def _sorted(pieces: Pieces, wraps_at: float) -> np.ndarray:
    line = _program_lines(pieces, wraps_at)
    spin = pieces.first[:, SPIN]
    return np.lexsort((pieces.start, _way(pieces, line), _advance(line, spin, wraps_at), line))


def _program_lines(pieces: Pieces, wraps_at: float) -> np.ndarray:
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
        begin = pieces.first[programmed[np.argmin(line[programmed])], SPIN]
        away = np.abs(around(pieces.first[:, SPIN] - begin, wraps_at))
        waiting = standing & (away <= 2 * resolution(begin))
        line[(line == 0) & ~waiting] = np.inf
    return line


def _advance(line: np.ndarray, spin: np.ndarray, wraps_at: float) -> np.ndarray:
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
    gap[first] = spin[first] + wraps_at - spin[last]
    widest = np.lexsort((-gap, group))[first]
    advance = np.empty_like(spin)
    advance[order] = (spin - spin[widest][group]) % wraps_at
    return advance


def _way(pieces: Pieces, line: np.ndarray) -> np.ndarray:
    """Return how far along its line's mean movement a piece lies, up to a factor (mm^2)."""
    group = pd.factorize(line)[0]
    moved = place(pieces.last) - place(pieces.first)
    direction = np.zeros((group.max() + 1, moved.shape[1]))
    np.add.at(direction, group, moved)
    centre = pieces.place_sum / pieces.rows[:, np.newaxis]
    way: np.ndarray = (centre * direction[group]).sum(axis=1)
    return way
