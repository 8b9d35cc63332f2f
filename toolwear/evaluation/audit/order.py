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
from toolwear.dataset.contract import DataSet, Levels, Order, Phases

SIGNIFICANT_DIGITS = 3  # of the recorded positions
_VELOCITY_SLACK = 0.1  # of the distance: velocities are sampled and positions lag
_POSITION_SLACK = 0.02  # mm or revolutions
_LAYER_SHARE = 0.02  # of a run's cutting rows that a depth needs to count as a layer's
_GAPS_NEEDED = 5  # jumps from which a batch length can be read


def continuous(run: pd.DataFrame, how: Order, period: float) -> np.ndarray:
    """Return for each step between two rows whether the movement explains it, shape (rows - 1,).

    Args:
        run: positions and velocities of all moving parts, in the order to be judged.
        how: which columns those are.
        period: seconds from row to row.
    """
    explained = np.ones(max(0, len(run) - 1), dtype=bool)
    if not explained.size:
        return explained
    moving = (
        *zip(how.axis_positions, how.axis_velocities, strict=True),
        (how.spindle_position, how.spindle_velocity),
    )
    for place, velocity in moving:
        position = run[place].to_numpy(dtype=float)
        distance = run[velocity].to_numpy(dtype=float) * period
        # Recorded positions lag the velocities by up to one row, which shows at corners.
        around = np.stack([np.r_[distance[:1], distance[:-2]], distance[:-1], distance[1:]])
        low, high = around.min(axis=0), around.max(axis=0)
        step = np.diff(position)
        if place == how.spindle_position:  # a counter that wraps
            step = step - np.round((step - (low + high) / 2) / how.wraps_at) * how.wraps_at
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


def jumps(rows: pd.DataFrame, by: str, how: Order, period: float) -> dict[str, np.ndarray]:
    """Return for each run the positions of the rows that a jump leads to.

    Args:
        rows: RUN_ID, positions, velocities and `by`.
        by: the column whose order is judged, ROW or TIME_INDEX.
        how: which columns positions and velocities are.
        period: seconds from row to row.
    """
    return {
        str(run): np.flatnonzero(~continuous(group.sort_values(by), how, period)) + 1
        for run, group in rows.groupby(schema.RUN_ID, sort=False)
    }


def order(rows: pd.DataFrame, threshold: float, dataset: DataSet) -> dict[str, Any]:
    """Return how far each run's stored order, and the restored one, is the order of time.

    Args:
        rows: RUN_ID, ROW, TIME_INDEX, positions and velocities of all rows.
        threshold: share of unexplained steps from which a run is held to be shuffled.
        dataset: the data set's contract.

    Returns:
        `run`: for each run, if the contract says what tells their order, `rows`, `jumps`,
        `share` (of its steps), `shuffled`, `batch_rows` (most frequent distance of two jumps, or
        None) and `restored_share`; `shuffled_runs`; `batch_rows`: median over the shuffled runs;
        `restored`: whether the orders differ.
    """
    restored = bool((rows[schema.ROW] != rows[schema.TIME_INDEX]).any())
    how, period = dataset.order, dataset.recordings.sample_period_seconds
    stored_jumps = jumps(rows, schema.ROW, how, period) if how else {}
    time_jumps = jumps(rows, schema.TIME_INDEX, how, period) if how and restored else stored_jumps
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


def phases(rows: pd.DataFrame, known: Phases) -> dict[str, Any]:
    """Return how far the phase names the level at which the machine is, such as a depth of cut.

    The levels are read from each run: those at which it cuts for long, in falling order.

    Args:
        rows: RUN_ID, phase, the signal of the levels and IS_CUTTING of all rows.
        known: the contract's phases; without levels there is nothing to judge.

    Returns:
        For each run with cutting rows `layers` (levels found), `agreement` (share of its cutting
        rows in a phase with a level whose level fits) and `unnamed` (share of its cutting rows
        in another phase).
    """
    levels = known.levels
    if levels is None:
        return {}
    falling = sorted(set(levels.values.values()), reverse=True)
    number = {phase: 1 + falling.index(value) for phase, value in levels.values.items()}
    cutting = rows[rows[schema.IS_CUTTING].to_numpy(dtype=bool)]
    result = {}
    for run, group in cutting.groupby(schema.RUN_ID, sort=False):
        named = group[known.column].map(number)
        has_name = named.notna().to_numpy()
        depth = group[levels.column].to_numpy(dtype=float)
        centres = _layers(depth, levels)
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


def _layers(depth: np.ndarray, known: Levels) -> np.ndarray:
    """Return the mean of each level from the top, in the signal's unit."""
    values, counts = np.unique(depth, return_counts=True)
    levels = values[counts >= _LAYER_SHARE * depth.size][::-1]
    if not levels.size:
        return levels
    groups = np.cumsum(np.r_[0, -np.diff(levels) > 2 * known.tolerance])
    return np.array([levels[groups == group].mean() for group in range(groups[-1] + 1)])
