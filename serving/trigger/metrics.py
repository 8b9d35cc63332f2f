"""What the trigger counts."""

from __future__ import annotations

import collections
import logging
from collections.abc import Iterator
from typing import Any

from prometheus_client import Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import REGISTRY, Collector

from serving.trigger.store import Store
from toolwear.common.causes import Cause
from toolwear.common.errors import ToolwearError
from toolwear.common.states import ENDED, State
from toolwear.release import audit_log
from toolwear.release.decisions import Outcome
from toolwear.workspace.home import Home

_log = logging.getLogger("toolwear.trigger")

SERVER = "trigger"
RESULTS = ("accepted", "duplicate", "merged", "refused")
TRIGGERS = Counter("toolwear_triggers", "Causes that were told.", ("cause", "result"))
RUN_IN_PROGRESS = Gauge("toolwear_run_in_progress", "Whether a run is at work.")
LAST_SUCCESS = Gauge(
    "toolwear_run_last_success_timestamp_seconds", "When a run last succeeded; 0: never."
)
LAST_FAILURE = Gauge(
    "toolwear_run_last_failure_timestamp_seconds", "When a run last failed or was killed; 0: never."
)
SCHEDULE_NEXT = Gauge(
    "toolwear_schedule_next_timestamp_seconds", "When the schedule starts the next run; 0: never."
)
WAITING = Gauge("toolwear_causes_waiting", "Causes that wait for their run.")
SCORING_JOBS = Gauge("toolwear_scoring_jobs", "Scoring jobs that were ever asked for.", ("state",))
APPROVALS = Gauge("toolwear_approvals_waiting", "Promotions that wait for a person.")


class Runs(Collector):
    """Counts runs from the database and decisions from the audit log: a restart forgets none."""

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._home = home

    def collect(self) -> Iterator[Any]:
        """Yield what has become of the runs, how long they took, and what their gates decided."""
        ended = CounterMetricFamily("toolwear_runs", "Runs that ended.", labels=["outcome"])
        counts = self._store.counts("runs")
        for state in ENDED:
            ended.add_metric([state.value], counts.get(state.value, 0))
        seconds = SummaryMetricFamily(
            "toolwear_run_seconds", "Time that ended runs took.", labels=["cause", "outcome"]
        )
        known = {(cause, state): (n, total) for cause, state, n, total in self._store.durations()}
        for cause in Cause:
            for state in ENDED:
                n, total = known.get((cause.value, state.value), (0, 0.0))
                seconds.add_metric([cause.value, state.value], n, total)
        yield from (ended, seconds)
        changed = GaugeMetricFamily(
            "toolwear_audit_log_changed", "Whether the audit log is other than it was written."
        )
        try:
            decided = _decided(audit_log.entries(self._home))
        except ToolwearError as error:
            # A log that was changed must not take the other metrics away.
            _log.error("decisions cannot be counted: %s", error)
            changed.add_metric([], isinstance(error, audit_log.LogChangedError))
        else:
            changed.add_metric([], 0)
            yield decided
        yield changed


def _decided(log: list[dict[str, Any]]) -> CounterMetricFamily:
    family = CounterMetricFamily(
        "toolwear_decisions", "What the gate, or a person, has decided.", labels=["outcome"]
    )
    found = decisions(log)
    for outcome in Outcome:
        family.add_metric([outcome.value], found[outcome])
    return family


def decisions(log: list[dict[str, Any]]) -> collections.Counter[Outcome]:
    """Return how often each outcome was decided, by the entries of an audit log.

    An entry says it in a field of its own or at the beginning of its reason. What is on the log
    twice of one version, say because it was held and then released, counts once.
    """
    seen = {}
    for number, entry in enumerate(log):
        word = entry.get("outcome") or entry["why"].partition(":")[0]
        if word in Outcome:
            seen[entry["to"] or f"line {number}", word] = Outcome(word)
    return collections.Counter(seen.values())


def prepare(store: Store, home: Home) -> None:
    """Put every label on /metrics at zero, so that rates and alerts see it."""
    for cause in Cause:
        for result in RESULTS:
            TRIGGERS.labels(cause.value, result)
    REGISTRY.register(Runs(store, home))


def refresh(
    store: Store, jobs: Store, others_at_work: bool, schedule_next: float, approvals: int
) -> None:
    """Set the gauges to what the databases and the others say."""
    RUN_IN_PROGRESS.set(others_at_work or store.active() is not None)
    LAST_SUCCESS.set(store.last_end(State.SUCCEEDED))
    LAST_FAILURE.set(store.last_end(State.FAILED, State.KILLED))
    SCHEDULE_NEXT.set(schedule_next)
    APPROVALS.set(approvals)
    WAITING.set(store.counts("causes").get(State.WAITING.value, 0))
    found = jobs.counts("causes")
    for state in (State.WAITING, State.RUNNING, *ENDED):
        SCORING_JOBS.labels(state.value).set(found.get(state.value, 0))
