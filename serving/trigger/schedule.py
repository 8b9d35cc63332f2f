"""The schedule: a cron expression in UTC whose next time is kept, so that a restart misses none."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from croniter import croniter

from serving.trigger.store import Request, Store
from toolwear.common.causes import Cause
from toolwear.common.errors import ToolwearError

_SET_SECONDS = 60.0
_CRON, _NEXT = "schedule_cron", "schedule_next"


def check(cron: str) -> str:
    """Return a cron expression of five fields.

    Raises:
        ToolwearError: it is not one.
    """
    if len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise ToolwearError(
            f"'{cron}' is no cron expression of five fields in UTC; write one like '0 3 * * *'."
        )
    return cron


class Clock(Protocol):
    """Tells causes by the clock, or lets somebody else do so."""

    @property
    def next(self) -> float:
        """The next time, seconds since the epoch; 0 without a schedule."""

    def tick(self, now: float, limit: int) -> bool:
        """Keep the cause of the time that has come, if one has; tell whether one had."""


class Recurring:
    """The schedule of a place that has a clock of its own, where it is set again and again.

    So a person sees it there, it goes on without the trigger, and a newer version of the pipeline
    is what it starts.

    Args:
        cron: the expression; empty for none.
        recur: sets it there.
    """

    def __init__(self, cron: str, recur: Callable[[str], None]) -> None:
        self._cron = cron
        self._recur = recur
        self._again = 0.0

    @property
    def next(self) -> float:
        """The next time, seconds since the epoch; 0 without a schedule."""
        return _after(self._cron, time.time()) if self._cron else 0.0

    def tick(self, now: float, limit: int) -> bool:  # noqa: ARG002
        """Set the schedule there if it is time to; tells no cause."""
        if now >= self._again:
            self._recur(self._cron)
            self._again = now + _SET_SECONDS
        return False


class Schedule:
    """Tells a cause for each time of the expression; for several missed ones, once.

    Args:
        cron: the expression; empty for none.
        store: keeps the next time.
        now: seconds since the epoch.
    """

    def __init__(self, cron: str, store: Store, now: float) -> None:
        self._cron = cron
        self._store = store
        if not cron:
            store.keep({_CRON: "", _NEXT: ""})
        elif store.fact(_CRON) != cron:
            store.keep({_CRON: cron, _NEXT: repr(_after(cron, now))})

    @property
    def next(self) -> float:
        """The next time, seconds since the epoch; 0 without a schedule."""
        return float(self._store.fact(_NEXT) or 0.0)

    def tick(self, now: float, limit: int) -> bool:
        """Keep the cause of the time that has come, if one has; tell whether one had."""
        if not self._cron or now < self.next:
            return False
        slot = datetime.fromtimestamp(self.next, UTC)
        request = Request(
            Cause.SCHEDULE, f"{slot:%Y-%m-%d %H:%M} UTC", f"schedule:{slot:%Y%m%dT%H%M%SZ}", {}
        )
        # With the next time in one transaction: a kill can neither lose the time nor repeat it.
        self._store.accept(request, now, limit, {_NEXT: repr(_after(self._cron, now))})
        return True


def _after(cron: str, now: float) -> float:
    return float(croniter(cron, now).get_next(float))
