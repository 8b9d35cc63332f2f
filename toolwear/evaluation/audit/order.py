"""Are the rows of a run stored in the order of time, and do the phases fit the movement?

A machine cannot jump: from one row to the next each axis moves by its velocity times the sample
period, between the least and the greatest velocity around, give or take the rounding. A step
that some part's velocity does not explain is a place where the order is not the order of time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from toolwear.dataset import schema
from toolwear.features.definitions import (
    AXIS_POSITION,
    AXIS_VELOCITY,
    SPINDLE_POSITION,
    SPINDLE_VELOCITY,
)
from toolwear.features.pieces import REVOLUTIONS

SIGNIFICANT_DIGITS = 3  # of the recorded positions
_DEPTH = AXIS_POSITION[-1]
_MOTION = (
    *zip(AXIS_POSITION, AXIS_VELOCITY, strict=True),
    (SPINDLE_POSITION, SPINDLE_VELOCITY),
)
_VELOCITY_SLACK = 0.1  # of the distance: velocities are sampled and positions lag
_POSITION_SLACK = 0.02  # mm or revolutions
_LAYER_GAP = 0.5  # mm between the depths of two layers, at least
_LAYER_SHARE = 0.02  # of a run's cutting rows that a depth needs to count as a layer's
_GAPS_NEEDED = 5  # jumps from which a batch length can be read


def continuous(run: pd.DataFrame) -> np.ndarray:
    """Return for each step between two rows whether the movement explains it, shape (rows - 1,).

    Args:
        run: positions and velocities of all moving parts, in the order to be judged.
    """
    explained = np.ones(max(0, len(run) - 1), dtype=bool)
    if not explained.size:
        return explained
    for place, velocity in _MOTION:
        position = run[place].to_numpy(dtype=float)
        distance = run[velocity].to_numpy(dtype=float) * schema.SAMPLE_PERIOD_SECONDS
        # Recorded positions lag the velocities by up to one row, which shows at corners.
        around = np.stack([np.r_[distance[:1], distance[:-2]], distance[:-1], distance[1:]])
        low, high = around.min(axis=0), around.max(axis=0)
        step = np.diff(position)
        if place == SPINDLE_POSITION:  # a counter that wraps
            step = step - np.round((step - (low + high) / 2) / REVOLUTIONS) * REVOLUTIONS
        rounding = _resolution(position)
        slack = (
            (rounding[:-1] + rounding[1:]) / 2
            + _VELOCITY_SLACK * np.maximum(np.abs(low), np.abs(high))
            + _POSITION_SLACK
        )
        explained &= (step >= low - slack) & (step <= high + slack)
    return explained


def _resolution(values: np.ndarray) -> np.ndarray:
    """Return the distance of two neighbouring values at the recorded number of digits."""
    size = np.abs(values)
    exponent = np.floor(np.log10(np.where(size > 0, size, 1)))
    return np.where(size > 0, 10.0 ** (exponent - SIGNIFICANT_DIGITS + 1), 0)


def jumps(rows: pd.DataFrame, by: str) -> dict[str, np.ndarray]:
    """Return for each run the positions of the rows that a jump leads to.

    Args:
        rows: RUN_ID, positions, velocities and `by`.
        by: the column whose order is judged, ROW or TIME_INDEX.
    """
    return {
        str(run): np.flatnonzero(~continuous(group.sort_values(by))) + 1
        for run, group in rows.groupby(schema.RUN_ID, sort=False)
    }


def order(rows: pd.DataFrame, threshold: float) -> dict[str, Any]:
    """Return how far each run's stored order, and the restored one, is the order of time.

    Args:
        rows: RUN_ID, ROW, TIME_INDEX, positions and velocities of all rows.
        threshold: share of unexplained steps from which a run is held to be shuffled.

    Returns:
        `run`: for each run `rows`, `jumps`, `share` (of its steps), `shuffled`, `batch_rows`
        (most frequent distance of two jumps, or None) and `restored_share`; `shuffled_runs`;
        `batch_rows`: median over the shuffled runs; `restored`: whether the orders differ.
    """
    restored = bool((rows[schema.ROW] != rows[schema.TIME_INDEX]).any())
    stored_jumps = jumps(rows, schema.ROW)
    time_jumps = jumps(rows, schema.TIME_INDEX) if restored else stored_jumps
    lengths = rows[schema.RUN_ID].value_counts()
    runs = {}
    for run, places in stored_jumps.items():
        steps = max(1, int(lengths[run]) - 1)
        share = places.size / steps
        runs[run] = {
            "rows": int(lengths[run]),
            "jumps": int(places.size),
            "share": share,
            "shuffled": share > threshold,
            "batch_rows": _batch_rows(places),
            "restored_share": time_jumps[run].size / steps,
        }
    shuffled = [run for run, found in runs.items() if found["shuffled"]]
    batches = [length for run in shuffled if (length := runs[run]["batch_rows"]) is not None]
    return {
        "run": runs,
        "shuffled_runs": shuffled,
        "batch_rows": float(np.median(batches)) if batches else None,
        "restored": restored,
        "threshold": threshold,
    }


def _batch_rows(places: np.ndarray) -> int | None:
    if places.size <= _GAPS_NEEDED:
        return None
    return int(np.bincount(np.diff(places)).argmax())


def phases(rows: pd.DataFrame) -> dict[str, Any]:
    """Return how far the phase column names the layer at whose depth the tool cuts.

    The depths are read from each run: those at which it cuts for long, the highest being layer 1.

    Args:
        rows: RUN_ID, PHASE, the depth axis' position and IS_CUTTING of all rows.

    Returns:
        For each run with cutting rows `layers` (depths found, mm), `agreement` (share of its
        cutting rows with a layer phase whose layer fits) and `unnamed` (share of its cutting rows
        without a layer phase).
    """
    cutting = rows[rows[schema.IS_CUTTING].to_numpy(dtype=bool)]
    result = {}
    for run, group in cutting.groupby(schema.RUN_ID, sort=False):
        named = group[schema.PHASE].str.extract(r"^Layer (\d+)", expand=False)
        has_name = named.notna().to_numpy()
        depth = group[_DEPTH].to_numpy(dtype=float)
        centres = _layers(depth)
        if not centres.size:
            continue
        layer = 1 + np.abs(depth[:, None] - centres[None, :]).argmin(axis=1)
        fits = named[has_name].astype(int).to_numpy() == layer[has_name]
        result[str(run)] = {
            "layers": [round(float(centre), 3) for centre in centres],
            "agreement": float(fits.mean()) if fits.size else None,
            "unnamed": float(1 - has_name.mean()),
        }
    return result


def _layers(depth: np.ndarray) -> np.ndarray:
    """Return the mean depth of each layer from the top, mm."""
    values, counts = np.unique(depth, return_counts=True)
    levels = values[counts >= _LAYER_SHARE * depth.size][::-1]
    if not levels.size:
        return levels
    groups = np.cumsum(np.r_[0, -np.diff(levels) > _LAYER_GAP])
    return np.array([levels[groups == group].mean() for group in range(groups[-1] + 1)])
