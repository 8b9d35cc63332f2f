"""Names of the mill's recordings, for what makes some: the simulator, demos and tests."""

from __future__ import annotations

from toolwear.dataset import contract, schema

_MILL = contract.default()

SAMPLE_PERIOD_SECONDS = _MILL.recordings.sample_period_seconds
PROGRAM_NUMBER = "M1_CURRENT_PROGRAM_NUMBER"
SEQUENCE_NUMBER = "M1_sequence_number"
CURRENT_FEEDRATE = "M1_CURRENT_FEEDRATE"

NUMERIC_COLUMNS = _MILL.numbers
RAW_COLUMNS = _MILL.raw
PHASE = _MILL.phases.column
PHASES = _MILL.phases.names
PHASE_SPELLINGS = _MILL.phases.spellings
ACTIVE_PHASES = _MILL.rows.judged

FEEDRATE = "feedrate"  # mm/s
CLAMP_PRESSURE = "clamp_pressure"  # bar
SETTING_COLUMNS = tuple(_MILL.settings)

RUN_TABLE_FILE = _MILL.recordings.table
RUN_FILE_PATTERN = _MILL.recordings.files.replace(contract.ID, "{number:02d}")
RUN_NUMBER = _MILL.recordings.number
RUN_TABLE_COLUMNS = (
    RUN_NUMBER,
    schema.MATERIAL,
    *SETTING_COLUMNS,
    schema.CONDITION,
    schema.FINALIZED,
    schema.INSPECTION,
)
