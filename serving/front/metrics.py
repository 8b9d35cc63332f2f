"""What the front counts. A track is who answered: "stable", "candidate", or "shadow" for copies."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from toolwear.release.rollout import CANDIDATE, SHADOW, STABLE, Result

REQUESTS = Counter(
    "toolwear_front_requests", "Requests asked of a track, by status.", ("track", "status")
)
SECONDS = Histogram(
    "toolwear_front_seconds",
    "Time that a track took to answer.",
    ("track",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30),
)
WEIGHT = Gauge(
    "toolwear_front_weight", "Per cent of the traffic that a track is given.", ("track",)
)
IN_PROGRESS = Gauge("toolwear_rollout_in_progress", "1 while a rollout is under way.")
UNDECIDED = Gauge(
    "toolwear_rollout_undecided", "1 while what was seen of a candidate decides nothing."
)
RECORDINGS = Gauge("toolwear_rollout_recordings", "Recordings that were seen in this rollout.")
ROLLOUTS = Counter("toolwear_rollouts", "Rollouts that ended.", ("result",))


def prepare() -> None:
    """Put every label on /metrics at zero, so that rates and alerts see it."""
    for track in (STABLE, CANDIDATE, SHADOW):
        REQUESTS.labels(track, "200")
        REQUESTS.labels(track, "503")
        SECONDS.labels(track)
    WEIGHT.labels(STABLE).set(100)
    for track in (CANDIDATE, SHADOW):
        WEIGHT.labels(track).set(0)
    for result in Result:
        ROLLOUTS.labels(result.value)
