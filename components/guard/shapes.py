"""Keys of a recording that stay when its columns are scaled, shifted and rounded.

Two kinds, neither of which knows a unit. *Turns* say where, in rows that follow one another, each
signal turns from rising to falling or back: they stay when a recording is cut. Four rows are enough
of eighteen signals; of fewer signals it takes more rows to tell two recordings apart. *Scores* say
how many standard deviations each signal is from its mean in one row: they stay when a little noise
is added, and when rows are taken out or put in another order; few signals have none, as rows of two
recordings would agree by chance. Both leave out rows in which most signals rest, which are alike in
all recordings.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

MOST_ROWS = 50_000  # of a run, from its start; bounds the memory
_TURNING = 2 / 3  # share of the signals of a row that have to turn or go on, rather than rest
_CHANGING = 5 / 6  # share of the signals that have to differ from the row before
_STEP = 0.7  # standard deviations that count as one score
_TURNS = 36  # of a key, a bit each: so many that two recordings agree in hardly any
_SCORES = 12  # of a key, at least


def turns(values: np.ndarray) -> np.ndarray:
    """Return a key for each stretch of rows, uint32; none where too few signals move.

    Args:
        values: signals in stored order, float64 (rows, signals).
    """
    signals = values.shape[1]
    length = max(2, math.ceil(_TURNS / max(signals, 1)))
    direction = np.sign(np.diff(values, axis=0))
    product = direction[1:] * direction[:-1]
    if len(product) < length:
        return np.empty(0, dtype=np.uint32)
    moving = (product != 0).sum(axis=1) >= round(_TURNING * signals)
    rows = len(product) - length + 1
    steps = [slice(step, step + rows) for step in range(length)]
    every = np.logical_and.reduce([moving[step] for step in steps])
    return _keys(np.concatenate([product[step] < 0 for step in steps], axis=1)[every])


def scores(values: np.ndarray) -> np.ndarray:
    """Return a key for each row in which most signals differ from the row before, uint32.

    Args:
        values: signals in stored order, float64 (rows, signals); too few have no keys.
    """
    if values.shape[1] < _SCORES:
        return np.empty(0, dtype=np.uint32)
    spread = values.std(axis=0)
    # Without a sign: a scale may be negative.
    apart = np.abs(values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    changing = (np.diff(values, axis=0) != 0).sum(axis=1) >= round(_CHANGING * values.shape[1])
    return _keys(np.rint(apart[1:][changing] / _STEP))


def _keys(rows: np.ndarray) -> np.ndarray:
    found = pd.util.hash_pandas_object(pd.DataFrame(rows.astype(np.int16)), index=False)
    return found.to_numpy().astype(np.uint32)
