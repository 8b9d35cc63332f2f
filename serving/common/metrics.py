"""What every server counts, under one set of names and labels."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from serving.common.refusal import KINDS

REQUESTS = Counter(
    "toolwear_requests", "Answered requests.", ("server", "endpoint", "status")
)  # status: HTTP's number, or gRPC's word
REFUSALS = Counter("toolwear_refusals", "Requests refused, by reason.", ("server", "reason"))
FAILURES = Counter("toolwear_failures", "Requests that failed with a 5xx.", ("server",))
STAGE_SECONDS = Histogram(
    "toolwear_stage_seconds",
    "Time spent in a stage of a request.",
    ("server", "stage"),
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30),
)
MODEL_INFO = Gauge("toolwear_model_info", "The served model.", ("version", "sha256", "use"))
ANSWERS = Counter("toolwear_answers", "Rows answered, by answer.", ("answer",))
UNSURE = Counter("toolwear_unsure", "Rows answered 'not sure', by reason.", ("reason",))


def prepare(server: str) -> None:
    """Put every label of a server on /metrics at zero, so that rates and alerts see it."""
    for kind in KINDS:
        REFUSALS.labels(server, kind)
    FAILURES.labels(server)
