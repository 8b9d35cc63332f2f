"""Recordings that are scaled, shifted, rounded or cut copies of another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from components.guard.runs import SHAPE_KEYS, Match, RunFacts, pairs, shared
from toolwear.common.thresholds import Guard

_KINDS: Mapping[str, Callable[[RunFacts], Sequence[int]]] = {
    "turns": lambda run: run.turns,
    "scores": lambda run: run.scores,
}


@dataclass(frozen=True)
class Copy:
    """A run whose signals go as those of another do.

    Attributes:
        run: the later one.
        other: the one before it, of the data or known.
        kind: of the keys in common, "turns" or "scores".
        share: of them.
        limit: that it is above.
    """

    run: RunFacts
    other: RunFacts
    kind: str
    share: float
    limit: float

    @property
    def sentence(self) -> str:
        """Say it with numbers."""
        labels = "the same label" if self.run.label == self.other.label else "another label"
        return (
            f"Run {self.run.run_id} goes as run {self.other.run_id} does, under {labels}, as if it "
            f"had been scaled, shifted, rounded or cut: {self.share:.0%} of the {self.kind} of "
            f"their signals are the same, and of two recordings at most {self.limit:.0%} are."
        )


def scaled_copies(
    runs: Sequence[RunFacts],
    known: Iterable[RunFacts],
    recognised: Iterable[Match],
    limits: Guard,
) -> list[Copy]:
    """Return each run that is too much like another one, with the one that it is most like.

    Left out is what other checks tell: rows in common, and another recording under a known number
    and label.

    Args:
        runs: of the data.
        known: runs that the champion has learnt from.
        recognised: those of them that the data holds too.
        limits: the thresholds.
    """
    ours = {id(run) for run in runs}
    held = {match.other.run_id for match in recognised}
    everything = [*(run for run in known if run.run_id not in held), *runs]
    best: dict[str, Copy] = {}
    for kind, limit in (("turns", limits.same_turns), ("scores", limits.same_scores)):
        for run, match in pairs(everything, _KINDS[kind], SHAPE_KEYS, limits.same_keys):
            other = match.other
            same_run = (run.run_id, run.label) == (other.run_id, other.label)
            copied = shared(run.sketch, other.sketch) > limits.copied_row_share
            if id(run) not in ours or match.share <= limit or same_run or copied:
                continue
            if run.run_id not in best or match.share > best[run.run_id].share:
                best[run.run_id] = Copy(run, other, kind, match.share, limit)
    return list(best.values())
