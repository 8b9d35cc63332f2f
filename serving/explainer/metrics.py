"""What only the explainer sees: how long each method takes, and how good its answers are."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

SECONDS = Histogram(
    "toolwear_explanation_seconds",
    "Time to compute an explanation, waiting included.",
    ("method",),
    buckets=(0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
# Errors are next to 0 where all is well, shares anywhere from 0 to 1.
QUALITY = Histogram(
    "toolwear_explanation_quality",
    "Quality figures of the answered explanations.",
    ("method", "figure"),
    buckets=(0, 1e-12, 1e-9, 1e-6, 1e-3, 0.01, 0.05, *(i / 10 for i in range(1, 11))),
)
BUSY = Gauge("toolwear_explanations_under_way", "Explanations computed or waiting.", ("lane",))
