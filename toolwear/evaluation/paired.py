"""Is one model right more often than another, over recordings rather than over rows?"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import permutation_test

_EXACT_UP_TO = 2**16  # assignments of signs; beyond as many are drawn


def better(ours: np.ndarray, theirs: np.ndarray, unit: np.ndarray, seed: int) -> dict[str, Any]:
    """Return how much more often one is right, and how likely that is if they are equally good.

    Rows of a recording are not independent, recordings are: each counts by the difference of the
    shares that are right. If both were equally good, each difference could as well have the other
    sign (Fisher's randomisation test; Fisher 1935, section 21), one-sided.

    Args:
        ours: whether it is right, bool (n,).
        theirs: whether the other is, bool (n,).
        unit: recording of each row, (n,).
        seed: of the signs, where there are too many recordings for all of them.

    Returns:
        `units`; `more`, `fewer` (recordings in which it is right more or less often);
        `difference` (mean over recordings); `p`; `exact`: whether all signs were tried.
    """
    _, index, length = np.unique(unit, return_inverse=True, return_counts=True)
    gain = ours.astype(np.float64) - theirs.astype(np.float64)
    difference = np.bincount(index, weights=gain) / length
    moved = difference[difference != 0]  # zero has no other sign
    exact = 2.0**moved.size <= _EXACT_UP_TO
    p = 1.0
    if moved.size > 1:  # of one recording there is nothing to permute
        p = permutation_test(
            (moved,),
            _total,
            permutation_type="samples",
            alternative="greater",
            vectorized=True,
            n_resamples=np.inf if exact else _EXACT_UP_TO,
            rng=np.random.default_rng(seed),
        ).pvalue
    elif moved.size == 1 and moved[0] > 0:
        p = 0.5
    return {
        "units": int(length.size),
        "more": int((difference > 0).sum()),
        "fewer": int((difference < 0).sum()),
        "difference": float(difference.mean()),
        "p": float(p),
        "exact": exact,
    }


def _total(difference: np.ndarray, axis: int) -> np.ndarray:
    # Rounded: equal totals must tie, whatever the order of the additions.
    total: np.ndarray = difference.sum(axis=axis).round(9)
    return total
