"""Where runs are done: what the trigger asks of such a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from serving.trigger.store import Run, State


class BackendDownError(Exception):
    """The place does not answer; ask again later."""


@dataclass(frozen=True)
class Look:
    """What a place says of a run.

    Attributes:
        state: of the run; None: it has never started.
        reason: why it failed, one sentence.
    """

    state: State | None
    reason: str = ""


class Backend(Protocol):
    """Starts runs and tells of them. Each method may raise `BackendDownError`."""

    def lacks(self, parameters: Mapping[str, Any]) -> str:
        """Return why a run with these parameters of its own can't start; empty if it can."""

    def start(self, run: Run) -> None:
        """Start a run, unless one of its name has started before."""

    def look(self, run: Run) -> Look:
        """Tell what became of a run, whoever started it."""

    def steps(self, name: str) -> list[Mapping[str, Any]]:
        """Return step, state, seconds and reason of a run's steps, as far as they are known."""

    def has_trained(self, digest: str) -> bool:
        """Tell whether a run that ended well is known to have had these recordings."""
