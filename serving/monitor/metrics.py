"""What the monitor tells Prometheus: all of it follows from the state, so a kill loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from serving.monitor.judge import ALL, FAULTS
from serving.monitor.kinds import Kind, Result
from serving.monitor.service import Seen


class Collector:
    """Gives the metrics of what was seen last.

    Args:
        seen: returns it.
    """

    def __init__(self, seen: Callable[[], Seen]) -> None:
        self._seen = seen

    def collect(self) -> Iterator[Any]:
        """Yield the metrics."""
        seen = self._seen()
        yield from _scores(seen)
        yield from _windows(seen)
        yield from _single(seen)
        yield from _room(seen)
        yield from _tools(seen)


def registry(seen: Callable[[], Seen]) -> CollectorRegistry:
    """Return a registry with these metrics only."""
    found = CollectorRegistry()
    found.register(Collector(seen))
    return found


def _scores(seen: Seen) -> Iterator[Any]:
    scores = GaugeMetricFamily(
        "toolwear_drift_score",
        "Score of the champion's latest window, by kind and feature; 'all' is what is judged.",
        labels=("kind", "feature"),
    )
    limits = GaugeMetricFamily(
        "toolwear_drift_threshold", "What 'all' is judged by.", labels=("kind",)
    )
    alarm = GaugeMetricFamily(
        "toolwear_drift_alarm",
        "Whether enough of the champion's latest windows raise an alarm.",
        labels=("kind",),
    )
    faults = GaugeMetricFamily(
        "toolwear_data_quality_faults",
        "Features of the champion's latest window with this fault.",
        labels=("fault",),
    )
    for kind in Kind:
        alarm.add_metric((kind,), float(seen.alarms[kind]))
        window = seen.latest(kind)
        if window is None:
            continue
        verdict = window.verdicts[kind]
        for feature, score in {**verdict.scores, ALL: verdict.score}.items():
            scores.add_metric((kind, feature), score)
        limits.add_metric((kind,), verdict.threshold)
    quality = seen.latest(Kind.QUALITY)
    for fault in FAULTS:
        found = quality.verdicts[Kind.QUALITY].scores[fault] if quality else 0.0
        faults.add_metric((fault,), found)
    yield from (scores, limits, alarm, faults)


def _windows(seen: Seen) -> Iterator[Any]:
    windows = CounterMetricFamily(
        "toolwear_monitor_windows", "Windows so far, of all packages.", labels=("kind", "result")
    )
    for kind in Kind:
        totals = seen.state.totals.get(kind, {})
        for result in Result:
            windows.add_metric((kind, result), totals.get(result, 0))
    yield windows
    for name, text, value in (
        ("toolwear_monitor_rows", "Rows of the payload log read so far.", seen.state.rows),
        ("toolwear_monitor_gaps", "Times that rows were lost unread.", seen.state.gaps),
        (
            "toolwear_monitor_unreferenced_rows",
            "Rows answered by a package that nothing can be compared with.",
            seen.state.unreferenced_rows,
        ),
        (
            "toolwear_monitor_unmatched_labels",
            "Labels whose answer the log no longer had.",
            seen.state.unmatched_labels,
        ),
    ):
        yield CounterMetricFamily(name, text, value=value)


def _single(seen: Seen) -> Iterator[Any]:
    last = max((_seconds(window.last) for window in seen.state.windows), default=0.0)
    concept, abstention = seen.latest(Kind.CONCEPT), seen.latest(Kind.ABSTENTION)
    for name, text, value in (
        (
            "toolwear_monitor_last_window_timestamp_seconds",
            "When the newest row of the newest window was answered; 0: there is none.",
            last,
        ),
        (
            "toolwear_monitor_last_success_timestamp_seconds",
            "When the payload log was last looked at.",
            seen.when,
        ),
        ("toolwear_labelled_rows", "Rows with a late label so far.", seen.state.labelled_rows),
        (
            "toolwear_labelled_accuracy",
            "Share of right answers in the champion's latest window of labelled rows.",
            concept.verdicts[Kind.CONCEPT].score if concept else None,
        ),
        (
            "toolwear_abstention_ratio",
            "Share of answers 'not sure' in the champion's latest window.",
            abstention.verdicts[Kind.ABSTENTION].score if abstention else None,
        ),
        (
            "toolwear_champion_since_timestamp_seconds",
            "When the champion became it.",
            _seconds(seen.champion.since) if seen.champion else None,
        ),
    ):
        if value is not None:
            yield GaugeMetricFamily(name, text, value=value)


def _room(seen: Seen) -> Iterator[Any]:
    used = GaugeMetricFamily(
        "toolwear_disk_bytes", "What the home holds on the disk, by kind.", labels=("kind",)
    )
    budget = GaugeMetricFamily(
        "toolwear_disk_budget_bytes",
        "What there may be of it; `toolwear prune` removes the oldest beyond that.",
        labels=("kind",),
    )
    for one in seen.room:
        used.add_metric((one.kind,), one.bytes)
        budget.add_metric((one.kind,), one.budget.bytes)
    yield from (used, budget)


def _tools(seen: Seen) -> Iterator[Any]:
    """Yield what is known of the tools; names are the clients', their number is bounded."""
    worn = GaugeMetricFamily(
        "toolwear_tool_worn",
        "1 while a machine's tool is held to be worn, since what recording, and what the models "
        "that said so may be used for; 0 once another tool was seen, or none was ever worn.",
        labels=("machine", "recording", "use"),
    )
    share = GaugeMetricFamily(
        "toolwear_tool_worn_ratio",
        "Share of the answers in a machine's latest windows that say worn.",
        labels=("machine",),
    )
    since = GaugeMetricFamily(
        "toolwear_tool_worn_since_timestamp_seconds",
        "When the first answer was given by which its tool is, or was, held to be worn.",
        labels=("machine",),
    )
    for name, machine in seen.state.machines.known.items():
        # The last one stays, as 0: a series that vanished would read like a monitor that is gone.
        last = machine.worn
        told = (last.recording, last.use) if last is not None else ("", "")
        worn.add_metric((name, *told), float(machine.is_worn))
        if machine.share is not None:
            share.add_metric((name,), machine.share)
        if last is not None:
            since.add_metric((name,), last.since.timestamp())
    yield from (worn, share, since)
    yield CounterMetricFamily(
        "toolwear_tool_left_out_rows",
        "Rows of machines that there was no room for: their tools are not watched.",
        value=seen.state.machines.left_out_rows,
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
