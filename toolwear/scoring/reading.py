"""Rows of a recording that a model can answer: complete, of known phases, of one recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toolwear.common.errors import ToolwearError
from toolwear.dataset.contract import DataSet, Phases
from toolwear.dataset.quirks import folded
from toolwear.dataset.run_file import FileNotes, read_batches


def usable(path: Path, dataset: DataSet, name: str) -> Iterator[pa.RecordBatch]:
    """Yield a recording's rows as `read_batches` does, each phase spelt one way.

    Args:
        path: CSV in any usual form, packed or not, or Parquet.
        dataset: its contract.
        name: what sentences call the file.

    Raises:
        ToolwearError: it can't be read, a cell is empty, a phase is not known, or it holds more
            than one recording; the last is seen at its end.
    """
    notes, row = FileNotes(), 0
    for batch in read_batches(path, dataset, notes):
        found = folded(batch, dataset.phases)
        _check_complete(found, name, row)
        _check_phases(found, name, row, dataset.phases)
        row += found.num_rows
        yield found
    if notes.several:
        raise ToolwearError(
            f"{name} holds more than one recording: {notes.several}; give one at a time."
        )


def _check_complete(batch: pa.RecordBatch, name: str, row: int) -> None:
    for column, values in zip(batch.schema.names, batch.columns, strict=True):
        is_number = pa.types.is_floating(values.type)
        if not values.null_count and (not is_number or np.isfinite(values.to_numpy()).all()):
            continue
        gone = pc.is_null(values)
        if is_number:
            gone = pc.or_(gone, pc.invert(pc.is_finite(values.fill_null(0.0))))
        place = pc.index(gone, True).as_py()
        raise ToolwearError(
            f"{name} has no usable value in row {row + place + 1}, column {column}; "
            "export it again with every cell filled."
        )


def _check_phases(batch: pa.RecordBatch, name: str, row: int, known: Phases) -> None:
    phases = batch.column(known.column)
    place = pc.index(pc.is_in(phases, pa.array(known.names)), False).as_py()
    if place >= 0:
        said = phases[place].as_py()[:40]
        kind = "a formula" if said[:1] in ("=", "+", "@", "-") else "not a phase"
        raise ToolwearError(
            f"{name} has '{said}' in row {row + place + 1}, column {known.column}, which is "
            f"{kind}; the phases are {', '.join(known.names)}."
        )
