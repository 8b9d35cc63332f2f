"""The recordings of a folder: one file each, or one file divided by a column."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.dataset.contract import Columns, DataSet, Format
from toolwear.dataset.names import plain
from toolwear.dataset.row_labels import RowLabels
from toolwear.dataset.run_file import FileNotes, raw_schema, read_batches, read_with
from toolwear.dataset.run_table import MAXIMUM_RUN_NUMBER, run_number
from toolwear.dataset.sources import run_files, whole_file
from toolwear.dataset.starts import ID_WORDS

_MOST = 400  # recordings in one file: each is a file of its own while it is divided
_MOST_STRETCHES = 20  # of one class in a recording


@dataclass(frozen=True)
class Recordings:
    """What there is to read, by the keys of runs.

    Attributes:
        files: with the rows.
        names: of the files, for people.
        digests: of their content.
        dataset: the contract that reads these files.
        notes: on the files that were divided; None if none was.
        labels: number of the class, None where it is not known; empty where a table says it.
        before: rows of the same recording that come before these.
    """

    files: Mapping[str, Path]
    names: Mapping[str, str]
    digests: Mapping[str, str]
    dataset: DataSet
    notes: FileNotes | None = None
    labels: Mapping[str, int | None] = field(default_factory=dict)
    before: Mapping[str, int] = field(default_factory=dict)

    def read(self, run: str, notes: FileNotes) -> Iterator[pa.RecordBatch]:
        """Yield a run's rows; see `run_file.read_batches`."""
        return read_batches(self.files[run], self.dataset, notes)


def recordings(
    folder: Path,
    dataset: DataSet,
    digests: Mapping[str, str],
    scratch: Path,
    *,
    by_label: bool = False,
) -> Recordings:
    """Return the recordings of a folder.

    Args:
        folder: of the files.
        dataset: its contract.
        digests: SHA-256 of the files by name.
        scratch: a folder in which files are divided.
        by_label: divide, too, where the label changes from row to row.

    Raises:
        ToolwearError: a file that is to be divided is damaged, or a row says no number or class.
    """
    whole = whole_file(folder, dataset)
    by_label = by_label and dataset.label.of == "row"
    if whole is None:
        files = run_files(folder, dataset)
        if not by_label:
            keys = {schema.run_id(number): path for number, path in files.items()}
            names = {key: path.name for key, path in keys.items()}
            return Recordings(
                keys, names, {key: digests[name] for key, name in names.items()}, dataset
            )
    else:
        files = {0: whole}
    notes = FileNotes()
    divided = _Divided(dataset, notes, scratch, by_label=by_label)
    with divided:
        for number, path in files.items():
            divided.add(path, number)
    parts = divided.parts()
    return Recordings(
        {key: part.path for key, part in parts.items()},
        {key: part.name for key, part in parts.items()},
        {key: part.sha.hexdigest() for key, part in parts.items()},
        # Units and names are those of ours by now, and the phase stands in each row.
        dataset.model_copy(
            update={
                "columns": Columns(),
                "format": Format(),
                "phases": dataset.phases.model_copy(update={"recorded": True}),
            }
        ),
        notes,
        {key: part.label for key, part in parts.items()} if by_label else {},
        {key: part.before for key, part in parts.items()},
    )


class _Part:
    """Rows of one recording, of one class where it is divided by it, written as they come."""

    def __init__(self, path: Path, name: str, raw: pa.Schema, label: int | None, before: int):
        self.path = path
        self.name = name
        self.label = label
        self.before = before
        self.rows = 0
        self.sha = hashlib.sha256()
        self._writer = pq.ParquetWriter(path, raw)

    def add(self, batch: pa.RecordBatch) -> None:
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            self.sha.update(repr(row).encode())
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def close(self) -> None:
        self._writer.close()


class _Divided:
    """Rows on their way into a file for each recording, wherever they stand."""

    def __init__(
        self, dataset: DataSet, notes: FileNotes, scratch: Path, *, by_label: bool
    ) -> None:
        self._dataset = dataset
        self._notes = notes
        self._scratch = scratch
        self._by_label = by_label
        self._raw = raw_schema(dataset)
        self._stretches: dict[int, list[_Part]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stretches in self._stretches.values():
            stretches[-1].close()

    def add(self, path: Path, number: int) -> None:
        """Divide a file; `number` is the recording's, if it is one."""
        column = self._dataset.recordings.id
        row = 0
        labels = RowLabels(self._dataset, path.name)
        reads = labels.reads if self._by_label else self._dataset
        words = {plain(column)} if column else set()
        words |= {plain(labels.text)} if self._by_label and labels.text else set()
        for batch, others in read_with(path, reads, self._notes, ID_WORDS | words):
            if column and column not in others:
                raise ToolwearError(
                    f"{path.name} lacks the column '{column}', which dataset.toml names as the "
                    "id of the recordings."
                )
            count = batch.num_rows
            numbers = _numbers(path, column, others[column], row) if column else None
            numbers = np.full(count, number) if numbers is None else numbers
            of = labels.read(batch, others, row) if self._by_label else np.full(count, None)
            batch = batch.select(self._raw.names)
            for one in dict.fromkeys(numbers.tolist()):
                chosen = numbers == one
                name = f"{path.name} ({column} {one})" if column else path.name
                self._add(one, name, batch.filter(pa.array(chosen)), of[chosen])
            row += count
        known = (column, labels.text)
        self._notes.passed_over = [name for name in self._notes.passed_over if name not in known]

    def parts(self) -> dict[str, _Part]:
        """Return what was written, by the keys of the runs, in their order."""
        return {
            schema.run_id(number, place if self._by_label else 0): part
            for number, stretches in sorted(self._stretches.items())
            for place, part in enumerate(stretches, start=1)
        }

    def _add(self, number: int, name: str, batch: pa.RecordBatch, labels: np.ndarray) -> None:
        starts = np.flatnonzero(np.concatenate([[True], labels[1:] != labels[:-1]]))
        for start, end in zip(starts, [*starts[1:], len(labels)], strict=True):
            label = labels[start]
            stretches = self._stretches.setdefault(number, [])
            if not stretches or stretches[-1].label != label:
                self._check_count(name, number)
                before = sum(part.rows for part in stretches)
                if stretches:
                    stretches[-1].close()
                    name = f"{name} from row {before + 1}"
                path = self._scratch / f"{number}-{len(stretches)}.parquet"
                stretches.append(_Part(path, name, self._raw, label, before))
            stretches[-1].add(batch.slice(start, end - start))

    def _check_count(self, name: str, number: int) -> None:
        column = self._dataset.recordings.id
        count = len(self._stretches[number])
        if column and not count and len(self._stretches) > _MOST:
            raise ToolwearError(
                f"{self._dataset.recordings.file} holds more than {_MOST} recordings by its column "
                f"'{column}'; divide it into several files, and put each recording into one of "
                "its own."
            )
        if count >= _MOST_STRETCHES:
            raise ToolwearError(
                f"The label of {name} changes more than {_MOST_STRETCHES} times; smooth the "
                f"column '{self._dataset.label.column}', so that a worn tool stays worn."
            )


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
