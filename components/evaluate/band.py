"""When the model should say "not sure": the band of probabilities and the envelope of values.

Both are chosen without the test rows. Where the searches that left recordings out learnt from the
columns of the served model, the band is chosen on what they say of them: that is what is served.
Else it is chosen on rows that neither train nor test the model: rows of the known runs in other
phases than the layers, as far as they lie inside the envelope. Idle rows are commoner among them
than in the layers and harder to tell, so that the band is rather too wide than too narrow; the
cutting rows alone would be easier than what is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from toolwear.evaluation.metrics import wilson
from toolwear.model.abstention import Abstention

_STEPS = np.array([0.001, 0.002, 0.005, *np.arange(0.01, 0.505, 0.01)]).round(3)
_ONE_SIDED = 0.95
LEFT_OUT = "rows of recordings that were left out of their search"
KNOWN = "rows of the known runs in neither half of the split (no layer phase), inside the envelope"


def choose_band(y: np.ndarray, p: np.ndarray, target: float, source: str = KNOWN) -> dict[str, Any]:
    """Return the narrowest band outside of which the answers reach the target accuracy.

    It counts as reached if the lower end of the one-sided 95 % Wilson interval does, so that few
    rows, or rows a little easier than those to come, do not make the band too narrow. If no band
    reaches it, the one with the highest lower end is taken.

    Args:
        y: labels of the calibration rows, shape (n,).
        p: probabilities of "worn" (n,).
        target: accuracy of the answers that are given.
        source: what rows these are.

    Returns:
        `low`, `high`, `reached`, `n`, `coverage`, `accuracy`, `lower_bound`, `target`, `source`.
    """
    low, high = _STEPS, 1 - _STEPS
    said_unworn = p[:, None] <= low
    said_worn = p[:, None] >= high
    # At 0.5 both sides would take a probability of exactly one half; the class is then unworn.
    said_worn &= ~(p[:, None] <= 0.5)
    answered = said_unworn.sum(axis=0)[:, None] + said_worn.sum(axis=0)
    right = (said_unworn & (y == 0)[:, None]).sum(axis=0)[:, None] + (
        said_worn & (y == 1)[:, None]
    ).sum(axis=0)
    bound = _lower_bound(right, answered)
    reached = bound >= target
    width = high[None, :] - low[:, None]
    score = np.where(reached, answered, -1.0) if reached.any() else bound
    ties = score == score.max()
    place = np.unravel_index(np.argmin(np.where(ties, width, np.inf)), width.shape)
    n = int(answered[place])
    return {
        "low": float(low[place[0]]),
        "high": float(high[place[1]].round(3)),
        "reached": bool(reached.any()),
        "n": len(y),
        "coverage": n / len(y) if len(y) else None,
        "accuracy": int(right[place]) / n if n else None,
        "lower_bound": float(bound[place]),
        "target": target,
        "source": source,
    }


def _lower_bound(right: np.ndarray, n: np.ndarray) -> np.ndarray:
    z = float(norm.ppf(_ONE_SIDED))
    size = np.maximum(n, 1)
    share = right / size
    centre = share + z * z / (2 * size)
    half = z * np.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    bound: np.ndarray = np.where(n > 0, (centre - half) / (1 + z * z / size), 0.0)
    return bound


def envelope(X: np.ndarray, columns: Sequence[str], quantile: float) -> dict[str, list[float]]:
    """Return [minimum, maximum] of each feature over the training rows.

    Args:
        X: training rows (n, features).
        columns: names of the features.
        quantile: share left out at either end.
    """
    low, high = np.quantile(X, [quantile, 1 - quantile], axis=0)
    return {
        name: [float(a), float(b)] for name, a, b in zip(columns, low.tolist(), high, strict=True)
    }


def on_test(rule: Abstention, X: np.ndarray, y: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    """Return what the rule does on the test rows: what it answers, and how often it is right."""
    unsure, strange = rule.in_band(p), rule.outside(X).any(axis=1)
    answered = ~(unsure | strange)
    right = int((((p > 0.5) == (y == 1)) & answered).sum())
    n = int(answered.sum())
    return {
        "n": len(y),
        "answered": n,
        "coverage": n / len(y) if len(y) else None,
        "accuracy": right / n if n else None,
        "interval": wilson(right, n),
        "in_band": int(unsure.sum()),
        "outside_envelope": int(strange.sum()),
    }


def coverage_curve(y: np.ndarray, p: np.ndarray) -> list[dict[str, Any]]:
    """Return accuracy of the answers given against their share, for symmetric bands."""
    right = (p > 0.5) == (y == 1)
    points = []
    for low in _STEPS[::-1].tolist():
        answered = (p <= low) | (p >= 1 - low)
        n = int(answered.sum())
        if n:
            correct = int(right[answered].sum())
            points.append(
                {
                    "low": low,
                    "high": round(1 - low, 3),
                    "coverage": n / len(y),
                    "accuracy": correct / n,
                    "interval": wilson(correct, n),
                    "n": n,
                }
            )
    return points
