"""What the guard knows of a run: whose recording it is, its label, and the level of its signals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema

SKETCH_ROWS = 512
SHAPE_KEYS = 256


@dataclass(frozen=True)
class RunFacts:
    """One run of the data.

    Attributes:
        run_id: the run's key.
        label: class number in the table of runs.
        material: of the work piece.
        settings: by name, in the contract's units.
        rows: recorded rows.
        cutting_rows: rows in the work piece.
        repeated: cutting rows that the run holds once more.
        sketch: the smallest `SKETCH_ROWS` keys of its distinct rows, sorted.
        turns: the smallest `SHAPE_KEYS` keys of `shapes.turns`, sorted.
        scores: the same of `shapes.scores`.
        levels: mean absolute value of each of `Admission.levels` over the cutting rows; empty
            without any.
    """

    run_id: str
    label: int
    material: str
    settings: Mapping[str, float]
    rows: int
    cutting_rows: int
    repeated: int
    sketch: tuple[int, ...]
    turns: tuple[int, ...]
    scores: tuple[int, ...]
    levels: Mapping[str, float]

    @property
    def condition(self) -> str:
        """The label as a word."""
        return schema.CLASSES[self.label]

    def as_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {**vars(self), **{name: list(getattr(self, name)) for name in _KEYS}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunFacts:
        """Return the run that `as_json` has written.

        Raises:
            ToolwearError: another version has written it.
        """
        try:
            return cls(**{**value, **{name: tuple(value[name]) for name in _KEYS}})
        except (KeyError, TypeError):
            raise ToolwearError(
                "What is kept here of earlier recordings was written by another version; give "
                "another home (--home), or use the version that wrote it."
            ) from None


_KEYS = ("sketch", "turns", "scores")


def sketch(keys: np.ndarray, size: int = SKETCH_ROWS) -> tuple[int, ...]:
    """Return the smallest `size` distinct keys of unsigned integers (rows,), sorted."""
    return tuple(int(key) for key in np.unique(keys)[:size])


def shared(one: Sequence[int], other: Sequence[int], size: int = SKETCH_ROWS) -> float:
    """Return the share of rows that the one run has in common with the other, estimated.

    Of the two shares - of the one's rows and of the other's - the larger: a slice of a recording
    is a copy too. Bottom-k sketches (Beyer et al. 2007): below the smaller of the two largest keys
    both sketches are whole, so counting there is counting a random sample of the rows.
    """
    ends = [keys[-1] for keys in (one, other) if len(keys) == size]
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


def pairs(
    runs: Sequence[RunFacts],
    keys_of: Callable[[RunFacts], Sequence[int]] = lambda run: run.sketch,
    size: int = SKETCH_ROWS,
    least: int = 1,
) -> Iterator[tuple[RunFacts, Match]]:
    """Yield runs with an earlier one that has keys in common with them.

    Of many copies of a recording each is paired with the first and with the one before it.

    Args:
        runs: in the order in which one is earlier than another.
        keys_of: returns a run's sketch.
        size: keys of a sketch.
        least: keys in common below which two runs are no pair.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for position, run in enumerate(runs):
        keys = keys_of(run)
        earlier = Counter(
            other for key in keys if key in first for other in {first[key], last[key]}
        )
        for other in sorted(earlier):
            if earlier[other] >= least:
                yield run, Match(shared(keys, keys_of(runs[other]), size), runs[other])
        for key in keys:
            first.setdefault(key, position)
            last[key] = position
