"""What the guard knows of a run: whose recording it is, its label, and the level of its signals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from components.core import schema

SKETCH_ROWS = 512

# The drives' electrical signals. Positions and speeds follow the program, not the sensor.
LEVELS = tuple(
    f"{drive}_{signal}"
    for drive in ("X1", "Y1", "S1")
    for signal in (
        "CurrentFeedback",
        "DCBusVoltage",
        "OutputCurrent",
        "OutputVoltage",
        "OutputPower",
    )
)


@dataclass(frozen=True)
class RunFacts:
    """One run of the data.

    Attributes:
        run_id: the run's key.
        label: class number in the table of runs.
        material: of the work piece.
        feedrate: mm/s.
        rows: recorded rows.
        cutting_rows: rows in the work piece.
        repeated: cutting rows that the run holds once more.
        sketch: the smallest `SKETCH_ROWS` keys of its distinct rows, sorted.
        levels: mean absolute value of each of `LEVELS` over the cutting rows; empty without any.
    """

    run_id: str
    label: int
    material: str
    feedrate: float
    rows: int
    cutting_rows: int
    repeated: int
    sketch: tuple[int, ...]
    levels: Mapping[str, float]

    @property
    def condition(self) -> str:
        """The label as a word."""
        return schema.CLASSES[self.label]

    def as_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {**vars(self), "sketch": list(self.sketch), "levels": dict(self.levels)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunFacts:
        """Return the run that `as_json` has written."""
        return cls(**{**value, "sketch": tuple(value["sketch"])})


def sketch(keys: np.ndarray) -> tuple[int, ...]:
    """Return the smallest `SKETCH_ROWS` distinct keys of rows, uint64 (rows,)."""
    return tuple(int(key) for key in np.unique(keys)[:SKETCH_ROWS])


def shared(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the share of rows that the one run has in common with the other, estimated.

    Of the two shares - of the one's rows and of the other's - the larger: a slice of a recording
    is a copy too. Bottom-k sketches (Beyer et al. 2007): below the smaller of the two largest keys
    both sketches are whole, so counting there is counting a random sample of the rows.
    """
    ends = [keys[-1] for keys in (one, other) if len(keys) == SKETCH_ROWS]
    end = min(ends, default=2**64)
    ours = {key for key in one if key <= end}
    theirs = {key for key in other if key <= end}
    smaller = min(len(ours), len(theirs))
    return len(ours & theirs) / smaller if smaller else 0.0


class Match(NamedTuple):
    """A run that has rows in common with another."""

    share: float
    other: RunFacts


def matches(runs: Sequence[RunFacts], known: Sequence[RunFacts]) -> dict[str, Match]:
    """Return, by run, the known run with which it has most in common; nothing in common: no entry.

    By an index of the keys, so that thousands of runs cost no comparison of each with each.
    """
    index = defaultdict(list)
    for position, before in enumerate(known):
        for key in before.sketch:
            index[key].append(position)
    found = {}
    for run in runs:
        near = {position for key in run.sketch for position in index.get(key, ())}
        alike = [
            Match(shared(run.sketch, known[position].sketch), known[position])
            for position in sorted(near)
        ]
        if alike:
            found[run.run_id] = max(alike, key=lambda match: match.share)
    return found


def pairs(runs: Sequence[RunFacts]) -> Iterator[tuple[RunFacts, Match]]:
    """Yield runs with an earlier one that has rows in common with them.

    Of many copies of a recording each is paired with the first and with the one before it.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for position, run in enumerate(runs):
        earlier = {seen[key] for seen in (first, last) for key in run.sketch if key in seen}
        for other in sorted(earlier):
            yield run, Match(shared(run.sketch, runs[other].sketch), runs[other])
        for key in run.sketch:
            first.setdefault(key, position)
            last[key] = position
