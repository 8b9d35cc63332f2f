"""Counts of what is odd in the recordings. Nothing is repaired here but the spelling of a phase."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toolwear.dataset import schema

# Sensor faults that the data set's authors name without a known source; the values are kept.
STUCK_VALUES = {schema.CURRENT_FEEDRATE: 50.0, "X1_ActualPosition": 198.0}
EXPECTED_PROGRAM_NUMBER = 0.0
_RARE_ROWS = 10
_KNOWN = {*schema.PHASES, *schema.PHASE_SPELLINGS}


@dataclass
class Quirks:
    """Counts over all runs, filled batch by batch."""

    phase_spellings: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    stuck: Counter[str] = field(default_factory=Counter)
    nulls: Counter[str] = field(default_factory=Counter)
    infinities: Counter[str] = field(default_factory=Counter)
    program_numbers: Counter[str] = field(default_factory=Counter)
    carriage_return_files: list[str] = field(default_factory=list)
    reordered_files: list[str] = field(default_factory=list)
    misnamed_files: list[str] = field(default_factory=list)
    passed_over_columns: Counter[str] = field(default_factory=Counter)
    excluded: list[dict[str, str]] = field(default_factory=list)

    def count(self, batch: pa.RecordBatch) -> None:
        """Count the oddities of one batch as recorded, before its phases are folded."""
        for name, value in STUCK_VALUES.items():
            self.stuck[name] += pc.sum(pc.equal(batch.column(name), value)).as_py() or 0
        for name in schema.NUMERIC_COLUMNS:
            column = batch.column(name)
            self.nulls[name] += column.null_count
            self.infinities[name] += int(np.isinf(column.to_numpy(zero_copy_only=False)).sum())
        for entry in pc.value_counts(batch.column(schema.PHASE)).to_pylist():
            phase, count = entry["values"], entry["counts"]
            self.phases[str(phase)] += count
            if phase in schema.PHASE_SPELLINGS:
                self.phase_spellings[phase] += count
        for entry in pc.value_counts(batch.column(schema.PROGRAM_NUMBER)).to_pylist():
            self.program_numbers[f"{entry['values']}"] += entry["counts"]

    def as_json(self) -> dict[str, Any]:
        """Return the counts for the manifest."""
        odd_programs = {
            number: count
            for number, count in self.program_numbers.items()
            if number != str(EXPECTED_PROGRAM_NUMBER)
        }
        return {
            "phase_spellings": dict(self.phase_spellings),
            "rare_phases": {name: n for name, n in self.phases.items() if n < _RARE_ROWS},
            "unknown_phases": {name: n for name, n in self.phases.items() if name not in _KNOWN},
            "sensor_faults": {
                name: {"value": value, "rows": self.stuck[name]}
                for name, value in STUCK_VALUES.items()
            }
            | {
                schema.PROGRAM_NUMBER: {
                    "value": f"not {EXPECTED_PROGRAM_NUMBER:g}",
                    "rows": sum(odd_programs.values()),
                }
            },
            "program_numbers": dict(self.program_numbers),
            "nulls": {name: count for name, count in self.nulls.items() if count},
            "infinities": {name: count for name, count in self.infinities.items() if count},
            "carriage_return_files": self.carriage_return_files,
            "reordered_files": self.reordered_files,
            "misnamed_files": self.misnamed_files,
            "passed_over_columns": dict(self.passed_over_columns),
            "excluded": self.excluded,
        }

    def warnings(self, pattern: str) -> list[str]:
        """Return a sentence for each run, file or column that was left out.

        Args:
            pattern: name of a recording's file, with {id} for its number.
        """
        return [
            *(f"Run {entry['run']} was left out: {entry['reason']}." for entry in self.excluded),
            *(
                f"{name} was passed over: recordings are named like {pattern.format(id='01')}."
                for name in self.misnamed_files
            ),
            *(
                f"The column '{name}' was passed over in {count} files: nothing reads it."
                for name, count in self.passed_over_columns.items()
            ),
        ]


def folded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with the one phase that is spelt two ways spelt one way."""
    phase = batch.column(schema.PHASE)
    for spelling, name in schema.PHASE_SPELLINGS.items():
        phase = pc.if_else(pc.equal(phase, spelling), name, phase)
    return batch.set_column(batch.schema.get_field_index(schema.PHASE), schema.PHASE, phase)
