"""What goes wrong between the machine and the file: batches out of order, rounding, faults."""

from __future__ import annotations

import numpy as np

from components.core import schema
from components.ingest.simulator.design import Run
from components.ingest.simulator.settings import SimulatorSettings

BATCH_ROWS = 10
_DIGITS = 3


def recorded(
    columns: dict[str, np.ndarray], run: Run, settings: SimulatorSettings, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the columns as they get into the file."""
    if settings.shuffle and run.number > 1:
        columns = _in_shuffled_batches(columns, rng)
    rows = len(columns[schema.PHASE])
    if settings.dropout_share:
        lost = rng.random(rows) < settings.dropout_share
        columns["S1_CurrentFeedback"] = np.where(lost, 0.0, columns["S1_CurrentFeedback"])
    if settings.stuck_run == run.number:
        columns["X1_CurrentFeedback"] = np.full(rows, columns["X1_CurrentFeedback"][0])
    if settings.three_digits:
        columns = {
            name: values if name == schema.PHASE else significant(values)
            for name, values in columns.items()
        }
    if settings.nan_share:
        empty = rng.random(rows) < settings.nan_share
        columns["X1_ActualPosition"] = np.where(empty, np.nan, columns["X1_ActualPosition"])
    return columns


def significant(values: np.ndarray) -> np.ndarray:
    """Return the values rounded to three significant digits."""
    exponent = np.floor(np.log10(np.abs(np.where(values == 0, 1.0, values))))
    scale = np.power(10.0, _DIGITS - 1 - exponent)
    return np.asarray(np.round(values * scale) / scale)


def _in_shuffled_batches(
    columns: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    rows = len(columns[schema.PHASE])
    starts = np.arange(0, rows, BATCH_ROWS)
    order = np.concatenate(
        [np.arange(start, min(start + BATCH_ROWS, rows)) for start in rng.permutation(starts)]
    )
    # The phase stays where it was in the file: it no longer fits the movement.
    return {
        name: values if name == schema.PHASE else values[order] for name, values in columns.items()
    }
