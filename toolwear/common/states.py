"""How runs, their steps and the requests for them stand: one set of words, wherever they are told.

Kept to Python 3.9: steps of the AutoML environment record their state too.
"""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """The state of a retrain request, a run or a step."""

    WAITING = "waiting"
    MERGED = "merged"  # a request: another of the same kind was waiting, one run serves both
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CACHED = "cached"  # a step: its outputs come from an earlier run
    SKIPPED = "skipped"  # a step of a branch that was not taken
    FAILED = "failed"
    REFUSED = "refused"  # a decision: validation or the guard would not let its data teach
    KILLED = "killed"  # its process ended without a word: a signal, no memory, no power
    CANCELLED = "cancelled"  # a person ended it, or wanted it no more

    def __str__(self) -> str:
        return str(self.value)


ENDED = (State.SUCCEEDED, State.FAILED, State.REFUSED, State.KILLED, State.CANCELLED)  # of runs
