"""The schedule: a cron expression in UTC whose next time is kept, so that a restart misses none."""

from __future__ import annotations

from datetime import UTC, datetime

from croniter import croniter

from components.core.causes import Cause
from components.core.errors import ToolwearError
from serving.trigger.store import Request, Store

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
