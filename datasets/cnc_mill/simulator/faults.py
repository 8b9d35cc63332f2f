"""Sensors that drift or fail, and rows that are stored out of order. Done to rows as they come."""

from __future__ import annotations

import numpy as np

from datasets.cnc_mill import names
from datasets.cnc_mill.simulator import constants as c
from datasets.cnc_mill.simulator.design import PlannedRun
from datasets.cnc_mill.simulator.settings import SimulatorSettings

_FAULT_STREAM = 4


class Faults:
    """What goes wrong with the rows of one run; keeps its state from block to block."""

    def __init__(self, run: PlannedRun, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._gain = settings.drift_sensor_gain if settings.drifts(run.number) else 1.0
        self._shuffled = settings.shuffle and run.number > 1
        self._stuck = settings.stuck_run == run.number
        self._stuck_at: float | None = None
        self._rng = np.random.default_rng((settings.seed, _FAULT_STREAM, run.number))

    def apply(self, columns: dict[str, np.ndarray]) -> None:
        """Let the sensor drift, drop out and stick, empty cells, then shuffle; in place."""
        count = len(columns[names.CURRENT_FEEDRATE])
        self._fail(columns, count)
        if self._shuffled:
            order = self._order(count)
            for name, values in columns.items():
                columns[name] = values[order]

    def _fail(self, columns: dict[str, np.ndarray], count: int) -> None:
        settings = self._settings
        values = columns[settings.sensor]
        if self._gain != 1.0:
            values = values * self._gain
        if settings.dropout_share:
            values = np.where(self._rng.random(count) < settings.dropout_share, 0.0, values)
        if self._stuck:
            if self._stuck_at is None:
                self._stuck_at = float(values[0])
            values = np.full(count, self._stuck_at)
        columns[settings.sensor] = values
        if settings.nan_share:
            for name in names.NUMERIC_COLUMNS:
                empty = self._rng.random(count) < settings.nan_share
                columns[name] = np.where(empty, np.nan, columns[name])

    def _order(self, count: int) -> np.ndarray:
        """Return the order of rows in shuffled batches; a last, shorter batch stays last."""
        whole = count - count % c.BATCH_ROWS
        batches = np.arange(whole).reshape(-1, c.BATCH_ROWS)
        shuffled = self._rng.permutation(batches).ravel()
        return np.concatenate([shuffled, np.arange(whole, count)])
