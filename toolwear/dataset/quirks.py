"""Counts of what is odd in the recordings. Nothing is repaired here but the spelling of a phase."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toolwear.dataset.cells import POOL
from toolwear.dataset.contract import DataSet, Phases

_RARE_ROWS = 10


@dataclass
class Quirks:
    """Counts over all runs, filled batch by batch.

    Args:
        dataset: the contract that reads them.
    """

    dataset: DataSet
    phase_spellings: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    nulls: Counter[str] = field(default_factory=Counter)
    infinities: Counter[str] = field(default_factory=Counter)
    carriage_return_files: list[str] = field(default_factory=list)
    reordered_files: list[str] = field(default_factory=list)
    misnamed_files: list[str] = field(default_factory=list)
    passed_over_columns: Counter[str] = field(default_factory=Counter)
    excluded: list[dict[str, str]] = field(default_factory=list)

    def count(self, batch: pa.RecordBatch) -> None:
        """Count the oddities of one batch as recorded, before its phases are folded."""
        for fault in self.dataset.faults:
            values = batch.column(fault.column).to_numpy(zero_copy_only=False)
            self.faults[fault.column] += int(fault.shows(values).sum())
        for name in self.dataset.numbers:
            column = batch.column(name)
            self.nulls[name] += column.null_count
            self.infinities[name] += int(np.isinf(column.to_numpy(zero_copy_only=False)).sum())
        phases = self.dataset.phases
        for entry in pc.value_counts(batch.column(phases.column)).to_pylist():
            phase, count = entry["values"], entry["counts"]
            self.phases[str(phase)] += count
            if phase in phases.spellings:
                self.phase_spellings[phase] += count

    def as_json(self) -> dict[str, Any]:
        """Return the counts for the manifest."""
        known = self.dataset.phases.known
        return {
            "phase_spellings": dict(self.phase_spellings),
            "rare_phases": {name: n for name, n in self.phases.items() if n < _RARE_ROWS},
            "unknown_phases": {name: n for name, n in self.phases.items() if name not in known},
            "sensor_faults": {
                fault.column: {"value": fault.told, "rows": self.faults[fault.column]}
                for fault in self.dataset.faults
            },
            "nulls": {name: count for name, count in self.nulls.items() if count},
            "infinities": {name: count for name, count in self.infinities.items() if count},
            "carriage_return_files": self.carriage_return_files,
            "reordered_files": self.reordered_files,
            "misnamed_files": self.misnamed_files,
            "passed_over_columns": dict(self.passed_over_columns),
            "excluded": self.excluded,
        }

    def warnings(self) -> list[str]:
        """Return a sentence for each run, file or column that was left out."""
        pattern = self.dataset.recordings.files
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


def folded(batch: pa.RecordBatch, phases: Phases) -> pa.RecordBatch:
    """Return the batch with each phase spelt one way."""
    phase = batch.column(phases.column)
    for spelling, name in phases.spellings.items():
        other = pc.equal(phase, spelling, memory_pool=POOL)
        if pc.any(other).as_py():
            phase = pc.if_else(other, name, phase, memory_pool=POOL)
    return batch.set_column(batch.schema.get_field_index(phases.column), phases.column, phase)
