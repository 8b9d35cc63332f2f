"""A time limit that a computation in a thread keeps to by itself: threads cannot be stopped."""

from __future__ import annotations

from time import monotonic

import numpy as np

from toolwear.explain.methods.subject import Predict


class TooSlowError(Exception):
    """The time limit has passed."""


class Deadline:
    """A point in time, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then, negative after it."""
        return self._end - monotonic()

    def guard(self, predict: Predict) -> Predict:
        """Return `predict`, which raises `TooSlowError` once it is too late.

        Every method asks the model again and again, so it ends soon after.
        """

        def in_time(rows: np.ndarray) -> np.ndarray:
            if self.left < 0:
                raise TooSlowError
            return predict(rows)

        return in_time
