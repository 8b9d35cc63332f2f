"""What only the transformer sees: the service's answers, and the features as drift needs them."""

from __future__ import annotations

import numpy as np
from prometheus_client import Counter, Gauge, Histogram

from serving.common import metrics
from toolwear.model.abstention import ANSWERS

SCORE = Histogram(
    "toolwear_score",
    "Probability of wear of an answered row.",
    buckets=tuple(i / 20 for i in range(1, 21)),
)
STALE = Counter("toolwear_stale_rows", "Rows answered from features older than allowed.")
# Mean and variance of any time span follow from the differences of these three.
FEATURE_ROWS = Counter("toolwear_feature_rows", "Rows whose features were scored.", ("features",))
FEATURE_SUM = Gauge("toolwear_feature_sum", "Sum of a feature's values so far.", ("feature",))
FEATURE_SQUARES = Gauge(
    "toolwear_feature_squares", "Sum of a feature's squared values so far.", ("feature",)
)

LABELS_UNDER_WAY = Gauge("toolwear_labels_under_way", "Labels that are taken or wait for it.")
RECORDINGS_UNDER_WAY = Gauge(
    "toolwear_recordings_under_way", "Recordings that are scored or wait for it."
)


class Counted:
    """Counts answers; keeps the labelled metrics, whose look-up costs more than the counting."""

    def __init__(self) -> None:
        self._answers = {answer: metrics.ANSWERS.labels(answer) for answer in ANSWERS}
        self._sums: dict[str, tuple[Gauge, Gauge]] = {}
        self._model: tuple[str, str, str] | None = None

    def model(self, version: str, digest: str, use: str) -> None:
        """Tell which model answered last."""
        if (version, digest, use) != self._model:
            metrics.MODEL_INFO.clear()
            metrics.MODEL_INFO.labels(version, digest, use).set(1)
            self._model = (version, digest, use)

    def answered(self, answers: list[str], probability: np.ndarray, stale: int) -> None:
        """Count answered rows."""
        for answer in answers:
            self._answers[answer].inc()
        for score in probability.tolist():
            SCORE.observe(score)
        if stale:
            STALE.inc(stale)

    def features(self, name: str, columns: tuple[str, ...], values: np.ndarray) -> None:
        """Add scored features, float64 (rows, columns)."""
        FEATURE_ROWS.labels(name).inc(len(values))
        sums, squares = values.sum(axis=0).tolist(), (values**2).sum(axis=0).tolist()
        for column, total, square in zip(columns, sums, squares, strict=True):
            if column not in self._sums:
                self._sums[column] = FEATURE_SUM.labels(column), FEATURE_SQUARES.labels(column)
            known = self._sums[column]
            known[0].inc(total)
            known[1].inc(square)
