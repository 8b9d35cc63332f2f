"""What the trigger counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import REGISTRY, Collector

from components.core.causes import Cause
from serving.trigger.store import ENDED, State, Store

SERVER = "trigger"
RESULTS = ("accepted", "duplicate", "merged", "refused")
TRIGGERS = Counter("toolwear_triggers", "Causes that were told.", ("cause", "result"))
RUN_IN_PROGRESS = Gauge("toolwear_run_in_progress", "Whether a run is at work.")
LAST_SUCCESS = Gauge(
    "toolwear_run_last_success_timestamp_seconds", "When a run last succeeded; 0: never."
)
LAST_FAILURE = Gauge(
    "toolwear_run_last_failure_timestamp_seconds", "When a run last failed or died; 0: never."
)
SCHEDULE_NEXT = Gauge(
    "toolwear_schedule_next_timestamp_seconds", "When the schedule starts the next run; 0: never."
)
WAITING = Gauge("toolwear_causes_waiting", "Causes that wait for their run.")
APPROVALS = Gauge("toolwear_approvals_waiting", "Promotions that wait for a person.")


class Runs(Collector):
    """Counts runs from the database, so that a restart forgets none."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> list[CounterMetricFamily]:
        """Return the one metric."""
        family = CounterMetricFamily("toolwear_runs", "Runs that ended.", labels=["outcome"])
        counts = self._store.counts("runs")
        for state in ENDED:
            family.add_metric([state.value], counts.get(state.value, 0))
        return [family]


def prepare(store: Store) -> None:
    """Put every label on /metrics at zero, so that rates and alerts see it."""
    for cause in Cause:
        for result in RESULTS:
            TRIGGERS.labels(cause.value, result)
    REGISTRY.register(Runs(store))


def refresh(store: Store, others_at_work: bool, schedule_next: float, approvals: int) -> None:
    """Set the gauges to what the database and the others say."""
    RUN_IN_PROGRESS.set(others_at_work or store.active() is not None)
    LAST_SUCCESS.set(store.last_end(State.SUCCEEDED))
    LAST_FAILURE.set(store.last_end(State.FAILED, State.DIED))
    SCHEDULE_NEXT.set(schedule_next)
    APPROVALS.set(approvals)
    WAITING.set(store.counts("causes").get(State.WAITING.value, 0))
