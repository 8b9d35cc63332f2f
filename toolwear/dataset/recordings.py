"""The recordings of a folder: one file each, or one file divided by a column."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toolwear.common.errors import ToolwearError
from toolwear.dataset.contract import Columns, DataSet, Format
from toolwear.dataset.names import plain
from toolwear.dataset.run_file import FileNotes, raw_schema, read_batches, read_with
from toolwear.dataset.run_table import MAXIMUM_RUN_NUMBER, run_number
from toolwear.dataset.sources import run_files, whole_file
from toolwear.dataset.starts import ID_WORDS

_MOST = 400  # recordings in one file: each is a file of its own while it is divided


@dataclass(frozen=True)
class Recordings:
    """What there is to read.

    Attributes:
        files: by run number.
        names: of the files, for people.
        digests: of their content.
        dataset: the contract that reads these files.
        notes: on the file that was divided; None if there was none.
    """

    files: Mapping[int, Path]
    names: Mapping[int, str]
    digests: Mapping[int, str]
    dataset: DataSet
    notes: FileNotes | None = None

    def read(self, number: int, notes: FileNotes) -> Iterator[pa.RecordBatch]:
        """Yield a run's rows; see `run_file.read_batches`."""
        return read_batches(self.files[number], self.dataset, notes)


def recordings(
    folder: Path, dataset: DataSet, digests: Mapping[str, str], scratch: Path
) -> Recordings:
    """Return the recordings of a folder.

    Args:
        folder: of the files.
        dataset: its contract.
        digests: SHA-256 of the files by name.
        scratch: a folder in which a file of many recordings is divided.

    Raises:
        ToolwearError: a file that is to be divided is damaged, or a row says no number.
    """
    whole = whole_file(folder, dataset)
    if whole is None:
        files = run_files(folder, dataset)
        return Recordings(
            files,
            {number: path.name for number, path in files.items()},
            {number: digests[path.name] for number, path in files.items()},
            dataset,
        )
    notes = FileNotes()
    parts = _divided(whole, dataset, notes, scratch)
    column = dataset.recordings.id
    return Recordings(
        {number: part.path for number, part in parts.items()},
        {number: f"{whole.name} ({column} {number})" for number in parts},
        {number: part.sha.hexdigest() for number, part in parts.items()},
        # Units and names are those of ours by now, and the phase stands in each row.
        dataset.model_copy(
            update={
                "columns": Columns(),
                "format": Format(),
                "phases": dataset.phases.model_copy(update={"recorded": True}),
            }
        ),
        notes,
    )


class _Part:
    """The rows of one recording, written as they come."""

    def __init__(self, path: Path, raw: pa.Schema) -> None:
        self.path = path
        self.sha = hashlib.sha256()
        self._writer = pq.ParquetWriter(path, raw)

    def add(self, batch: pa.RecordBatch) -> None:
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            self.sha.update(repr(row).encode())
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


def _divided(path: Path, dataset: DataSet, notes: FileNotes, scratch: Path) -> dict[int, _Part]:
    """Write the rows of each recording of a file to a file of its own, wherever they stand."""
    column = dataset.recordings.id
    parts: dict[int, _Part] = {}
    row, raw = 0, raw_schema(dataset)
    try:
        for batch, others in read_with(path, dataset, notes, ID_WORDS | {plain(column)}):
            if column not in others:
                raise ToolwearError(
                    f"{path.name} lacks the column '{column}', which dataset.toml names as the "
                    "id of the recordings."
                )
            numbers = _numbers(path, column, others[column], row)
            for number in dict.fromkeys(numbers.tolist()):
                if number not in parts:
                    _check_count(path, column, len(parts))
                    parts[number] = _Part(scratch / f"{number}.parquet", raw)
                parts[number].add(batch.filter(pa.array(numbers == number)))
            row += batch.num_rows
    finally:
        for part in parts.values():
            part.close()
    notes.passed_over = [name for name in notes.passed_over if name != column]
    return dict(sorted(parts.items()))


def _numbers(path: Path, column: str, cells: pa.Array, row: int) -> np.ndarray:
    distinct = cells.dictionary_encode()
    numbers = [run_number(cell) for cell in distinct.dictionary.to_pylist()]
    if None in numbers:
        cell = distinct.dictionary[numbers.index(None)].as_py()
        at = cells.to_pylist().index(cell)
        raise ToolwearError(
            f"{path.name} row {row + at + 1}: '{cell[:40]}' in column '{column}' is no whole "
            f"number from 1 to {MAXIMUM_RUN_NUMBER}, which numbers the recordings; mend the cell."
        )
    return np.array(numbers)[distinct.indices.to_numpy()]


def _check_count(path: Path, column: str, count: int) -> None:
    if count >= _MOST:
        raise ToolwearError(
            f"{path.name} holds more than {_MOST} recordings by its column '{column}'; divide it "
            f"into several files, and put each recording into one of its own."
        )
