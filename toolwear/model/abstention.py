"""When the service says "not sure" rather than guess. Needs NumPy only: serving imports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolwear.dataset.schema import CLASSES

NOT_SURE = "not sure"
ANSWERS = (*CLASSES, NOT_SURE)
VERDICTS = {**{name: name for name in CLASSES}, NOT_SURE: "not_sure"}  # as clients read it
NO_WINDOW = "The model needs a full window of cutting rows, and this row does not end one."


@dataclass(frozen=True)
class Abstention:
    """The band of probabilities and the envelope of values in which a model answers.

    Attributes:
        low: above this probability of "worn", and below `high`, the model is not sure.
        high: see `low`; equal bounds leave no such band.
        minimum: smallest value of each feature that the model knows, float64 (features,).
        maximum: its largest, float64 (features,).
    """

    low: float
    high: float
    minimum: np.ndarray
    maximum: np.ndarray

    @classmethod
    def of(
        cls,
        features: Sequence[str],
        band: Mapping[str, float] | None,
        envelope: Mapping[str, Sequence[float]] | None,
    ) -> Abstention:
        """Return the rule for a model.

        Args:
            features: the model's columns, in their order.
            band: "low" and "high"; None: every probability is sure.
            envelope: [minimum, maximum] of a feature; one without may have any value.
        """
        band = band or {"low": 0.5, "high": 0.5}
        known = envelope or {}
        bounds: list[Any] = [known.get(name) or (-np.inf, np.inf) for name in features]
        minimum, maximum = np.array(bounds, dtype=np.float64).T
        return cls(band["low"], band["high"], minimum.copy(), maximum.copy())

    def in_band(self, worn: np.ndarray) -> np.ndarray:
        """Return which probabilities of "worn" (rows,) are too close to call."""
        # One half is never called worn, so it is not sure even where the band ends there.
        inside: np.ndarray = (worn > self.low) & ((worn < self.high) | (worn <= 0.5))
        return inside

    def outside(self, rows: np.ndarray) -> np.ndarray:
        """Return which values (rows, features) the model has never seen the like of."""
        beyond: np.ndarray = (rows < self.minimum) | (rows > self.maximum)
        return beyond
