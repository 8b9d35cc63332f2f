"""Where runs are done: what the trigger asks of such a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from serving.trigger.store import Run
from toolwear.common.states import State


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


@dataclass(frozen=True)
class Other:
    """A run in the same place, whoever has started it.

    Attributes:
        id: names it there.
        name: given by whoever started it; the trigger's own runs are known by theirs.
        cause: as it is written on the run.
        state: of the run.
        reason: why it failed.
        started: seconds since the epoch.
        ended: the same; None while it is at work.
    """

    id: str
    name: str
    cause: str
    state: State
    reason: str
    started: float
    ended: float | None


class Backend(Protocol):
    """Starts runs and tells of them. Each method may raise `BackendDownError`.

    Attributes:
        poll_seconds: how often it may be asked.
    """

    poll_seconds: float

    def lacks(self, parameters: Mapping[str, Any]) -> str:
        """Return why a run with these parameters of its own can't start; empty if it can."""

    def defaults(self) -> dict[str, Any]:
        """Return the settings that a run has which is given none of its own."""

    def start(self, run: Run) -> None:
        """Start a run, unless one of its name has started before."""

    def cancel(self, run: Run, why: str) -> None:
        """Ask for the end of a run that is at work, and say why; asked again, the same."""

    def look(self, run: Run) -> Look:
        """Tell what became of a run, whoever started it."""

    def steps(self, name: str) -> list[Mapping[str, Any]]:
        """Return step, state, seconds and reason of a run's steps, as far as they are known."""

    def others(self) -> list[Other]:
        """Return the newest runs, the newest first, if others may start some there too."""

    def has_trained(self, digest: str) -> bool:
        """Tell whether a run that ended well is known to have had these recordings."""
