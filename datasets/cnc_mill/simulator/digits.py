"""Rounding to significant digits."""

from __future__ import annotations

import numpy as np

_POWERS = 10.0 ** np.arange(23)  # the powers of ten that float64 holds exactly
_SMALLEST = 1e-20


def three_digits(values: np.ndarray) -> np.ndarray:
    """Return values rounded to three significant digits, as their shortest decimals read."""
    size = np.maximum(np.abs(values), _SMALLEST)
    places = 2 - np.floor(np.log10(size)).astype(np.int8)
    # Multiplying and dividing by exact powers only keeps the result the nearest float64.
    up = _POWERS[np.maximum(places, 0)]
    if places.min(initial=0) >= 0:
        return np.rint(values * up) / up
    down = _POWERS[np.maximum(-places, 0)]
    return np.rint(values * up / down) * down / up
