"""What the console counts of itself."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

ANSWERS = Counter("toolwear_console_answers", "Answers of the console.", ("status",))
SECONDS = Histogram(
    "toolwear_console_seconds",
    "Time until an answer begins.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
