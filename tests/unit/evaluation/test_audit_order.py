"""The check of time order and phases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from datasets.cnc_mill import names as mill
from tests.mill import MILL, MOVING
from toolwear.dataset import schema
from toolwear.evaluation.audit.order import continuous, order, phases

ROWS, LIMIT = 600, 0.02
_SPINDLE = 53.333
AXIS_POSITION, AXIS_VELOCITY = MOVING.axis_positions, MOVING.axis_velocities
SPINDLE_POSITION, SPINDLE_VELOCITY = MOVING.spindle_position, MOVING.spindle_velocity


def rounded(values: np.ndarray) -> np.ndarray:
    """Round to three significant digits, as the controller records positions."""
    return np.array([float(f"{value:.3g}") for value in values])


def run_of(number: int, rows: int = ROWS) -> pd.DataFrame:
    """A tool that circles at 6 mm/s and goes down a layer every third of the run."""
    generator = np.random.default_rng(number)
    angle = 0.02 * np.arange(rows) + number
    layer = np.minimum(3 * np.arange(rows) // rows, 2)
    depth = 29.5 - layer
    spindle = np.mod(4000 + 0.1 * _SPINDLE * np.arange(rows), 2**32 / 1e6) - 2147.48
    columns = {
        AXIS_POSITION[0]: 150 + 30 * np.cos(angle),
        AXIS_VELOCITY[0]: -6 * np.sin(angle) + generator.normal(0, 0.1, rows),
        AXIS_POSITION[1]: 90 + 30 * np.sin(angle),
        AXIS_VELOCITY[1]: 6 * np.cos(angle) + generator.normal(0, 0.1, rows),
        AXIS_POSITION[2]: depth,
        AXIS_VELOCITY[2]: np.r_[0, 10 * np.diff(depth)],
        SPINDLE_POSITION: spindle,
        SPINDLE_VELOCITY: np.full(rows, _SPINDLE),
    }
    frame = pd.DataFrame({k: rounded(v) if "Position" in k else v for k, v in columns.items()})
    frame[schema.RUN_ID] = schema.run_id(number)
    frame[schema.ROW] = frame[schema.TIME_INDEX] = np.arange(rows)
    frame[mill.PHASE] = [f"Layer {1 + n} {'Up' if i % 2 else 'Down'}" for i, n in enumerate(layer)]
    frame[schema.IS_CUTTING] = True
    return frame


def shuffled(run: pd.DataFrame, batch: int = 10) -> pd.DataFrame:
    """Store the run in shuffled batches; the phases stay in file order."""
    batches = np.random.default_rng(0).permutation(len(run) // batch)
    places = np.concatenate([np.arange(n * batch, (n + 1) * batch) for n in batches])
    stored = run.iloc[places].reset_index(drop=True)
    return stored.assign(
        **{schema.ROW: np.arange(len(run)), mill.PHASE: run[mill.PHASE].to_numpy()}
    )


def test_a_movement_explains_every_step_and_the_counter_may_wrap() -> None:
    run = run_of(1)
    assert (np.diff(run[SPINDLE_POSITION]) < -4000).any()
    assert continuous(run, MOVING, 0.1).all()
    assert continuous(run.iloc[:1], MOVING, 0.1).size == 0


def test_a_step_against_the_velocity_is_seen_in_each_part() -> None:
    for place in (*AXIS_POSITION, SPINDLE_POSITION):
        run = run_of(2)
        run.loc[run.index >= 300, place] += 40.0
        assert 299 in np.flatnonzero(~continuous(run, MOVING, 0.1))


def test_shuffled_batches_are_found_with_their_length_and_an_intact_run_is_not() -> None:
    rows = pd.concat([run_of(1), shuffled(run_of(2)), shuffled(run_of(3), 25)], ignore_index=True)
    found = order(rows, LIMIT, MILL)
    assert found["shuffled_runs"] == ["02", "03"]
    assert found["run"]["01"]["share"] == 0
    assert found["run"]["02"]["share"] == pytest.approx(0.1, abs=0.01)
    assert [found["run"][run]["batch_rows"] for run in ("01", "02", "03")] == [None, 10, 25]
    assert found["restored"]
    assert all(run["restored_share"] == 0 for run in found["run"].values())


def test_an_order_that_was_not_restored_stays_as_bad() -> None:
    stored = shuffled(run_of(2))
    rows = stored.assign(**{schema.TIME_INDEX: stored[schema.ROW]})
    found = order(rows, LIMIT, MILL)
    assert not found["restored"]
    assert found["run"]["02"]["restored_share"] == found["run"]["02"]["share"] > LIMIT


def test_phases_fit_the_depth_in_order_and_do_not_when_shuffled() -> None:
    found = phases(pd.concat([run_of(1), shuffled(run_of(2))], ignore_index=True), MILL.phases)
    assert found["01"] == {"layers": [29.5, 28.5, 27.5], "agreement": 1.0, "unnamed": 0.0}
    assert found["02"]["agreement"] < 0.6


def test_rows_without_a_layer_phase_are_counted() -> None:
    run = run_of(1)
    run.loc[run.index < 150, mill.PHASE] = "Prep"
    assert phases(run, MILL.phases)["01"]["unnamed"] == pytest.approx(0.25)
