"""Whether an alert that is told is one that was told before.

Alertmanager tells each alert with the time at which it began to fire. That is Prometheus' word,
and Prometheus forgets it when it ends: started again, it fires anew what has never ceased.
Alertmanager holds on to the first time while it lives; started again too, it has the new one.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from serving.trigger.store import Store

_STARTS = 50  # of an alert that are known again


class AlertMemory:
    """Knows alerts by their fingerprint, their starts and when they were told. Safe for threads.

    Args:
        store: keeps it.
        gap: seconds; an alert that was told within them, and never that it has ended, goes on.
    """

    def __init__(self, store: Store, gap: float) -> None:
        self._store = store
        self._gap = gap
        self._lock = threading.Lock()

    def key(self, fingerprint: str, start: str, now: float) -> str:
        """Return what names the cause of a firing alert: the same for as long as it goes on.

        Args:
            fingerprint: of its labels.
            start: when it began to fire, as it is told.
            now: seconds since the epoch.
        """
        with self._lock:
            known = self._known(fingerprint)
            if start not in known["starts"]:
                goes_on = not known["ended"] and now - known["told"] <= self._gap
                known["starts"] = [*known["starts"], start][-_STARTS:] if goes_on else [start]
                if not goes_on:
                    known["first"] = start
            self._keep(fingerprint, {**known, "told": now, "ended": False})
            return f"alert:{fingerprint}:{known['first']}"

    def end(self, fingerprint: str) -> None:
        """Note that an alert fires no more: another start is another cause."""
        with self._lock:
            known = self._known(fingerprint)
            if known["starts"] and not known["ended"]:
                self._keep(fingerprint, {**known, "ended": True})

    def _known(self, fingerprint: str) -> dict[str, Any]:
        kept = self._store.fact(_name(fingerprint))
        new: dict[str, Any] = {"first": "", "starts": [], "told": 0.0, "ended": True}
        return new if kept is None else json.loads(kept)

    def _keep(self, fingerprint: str, known: dict[str, Any]) -> None:
        self._store.keep({_name(fingerprint): json.dumps(known)})


def _name(fingerprint: str) -> str:
    return f"alert:{fingerprint}"
