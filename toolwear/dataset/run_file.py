"""One recording's file as a stream of typed record batches."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from toolwear.common.errors import ToolwearError
from toolwear.dataset import names
from toolwear.dataset.cells import POOL, Layout, blocks, columns
from toolwear.dataset.contract import DataSet
from toolwear.dataset.starts import ID_WORDS, TIME_WORDS, Starts
from toolwear.dataset.text_format import text_format
from toolwear.dataset.text_stream import lines_of

_BLOCK_BYTES = 1 << 20
_PARQUET_ROWS = 65_536
_CELL_BYTES = 1 << 10  # of a column's cells in Parquet, written out, on average
_PARQUET = b"PAR1"


@dataclass
class FileNotes:
    """What was odd about a file, gathered while it is read.

    Attributes:
        format: how it is written, for people.
        passed_over: columns that nobody asks for.
        several: what says that it holds more than one recording; empty if nothing does.
        id_column: the column that may tell them apart.
    """

    bare_carriage_returns: bool = False
    columns_reordered: bool = False
    format: str = ""
    passed_over: list[str] = field(default_factory=list)
    several: str = ""
    id_column: str = ""


def raw_schema(dataset: DataSet) -> pa.Schema:
    """Return the types of the columns of `DataSet.raw`."""
    numbers = [(name, pa.float64()) for name in dataset.numbers]
    return pa.schema([*numbers, (dataset.phases.column, pa.string())])


def is_parquet(path: Path) -> bool:
    """Tell whether a file is Parquet, by its first bytes."""
    with path.open("rb") as raw:
        return raw.read(len(_PARQUET)) == _PARQUET


def read_batches(path: Path, dataset: DataSet, notes: FileNotes) -> Iterator[pa.RecordBatch]:
    """Yield a recording's rows as batches with the columns of `DataSet.raw` in that order.

    Memory is bounded, whatever the file's size. Missing numbers are null in whatever spelling;
    blank lines are passed over.

    Args:
        path: CSV in any usual form, packed or not, or Parquet.
        dataset: its contract.
        notes: filled in while reading; whole once the iterator is exhausted.

    Raises:
        ToolwearError: the file is empty, not text, lacks columns, has text in a number, a short
            row or more than one recording; the sentence names the file and the place.
    """
    phases = dataset.phases
    in_order = [name for name in phases.names if name not in phases.at_any_time]
    starts = Starts(in_order if dataset.recordings.phases_in_order else ())
    for batch, others in read_with(path, dataset, notes, ID_WORDS | TIME_WORDS):
        starts.look(batch.column(phases.column), others)
        yield batch
    notes.several, notes.id_column = starts.sign, starts.id_column


def several_sentence(file: str, notes: FileNotes) -> str:
    """Return what to tell of a file that holds more than one recording."""
    column = notes.id_column or "COLUMN"
    by_phases = notes.several.startswith("its phases")
    unless = ", or say phases_in_order = false there if it is one" if by_phases else ""
    return (
        f"{file} holds more than one recording: {notes.several}; put each into a file of its own, "
        f'or divide it with file = "{file}" and id = "{column}" under [recordings] in '
        f"dataset.toml{unless}."
    )


def read_with(
    path: Path, dataset: DataSet, notes: FileNotes, words: frozenset[str]
) -> Iterator[tuple[pa.RecordBatch, dict[str, pa.Array]]]:
    """Yield the same, each batch beside further columns as text.

    Args:
        path: as `read_batches`.
        dataset: as `read_batches`.
        notes: as `read_batches`.
        words: plain names of the further columns.

    Raises:
        ToolwearError: as `read_batches`.
    """
    read = _parquet if is_parquet(path) else _text
    empty, raw = True, raw_schema(dataset)
    for table in read(path, dataset, notes, words):
        if not table.num_rows:
            continue
        empty = False
        others = {
            name: pc.fill_null(table.column(name).combine_chunks(), "")
            for name in table.column_names[len(dataset.in_files) :]
        }
        yield _as_asked(table, dataset, raw), others
    if empty:
        raise ToolwearError(f"{path.name} holds no rows; record the run again or remove it.")


def _as_asked(table: pa.Table, dataset: DataSet, raw: pa.Schema) -> pa.RecordBatch:
    """Return the columns of `raw` with NaN as null, in the units and with the zeros of ours."""
    found = []
    for name in dataset.numbers:
        column = _whole(table.column(name))
        if len(column) and np.isnan(column.to_numpy(zero_copy_only=False).min()):
            column = pc.if_else(pc.is_nan(column), None, column)
        if name in dataset.columns.scale:
            column = pc.multiply(column, dataset.columns.scale[name])
        if name in dataset.columns.offset:
            column = pc.add(column, dataset.columns.offset[name])
        found.append(column)
    phases = dataset.phases
    if phases.recorded:
        said = _whole(table.column(phases.column))
        found.append(pc.utf8_trim_whitespace(said, memory_pool=POOL))
    else:
        found.append(pa.repeat(phases.names[0], table.num_rows, POOL))
    return pa.RecordBatch.from_arrays(found, schema=raw)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; of one chunk it is that, where pyarrow would copy it."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks(POOL)


def _find(
    path: Path,
    header: tuple[str, ...],
    dataset: DataSet,
    notes: FileNotes,
    words: frozenset[str],
    sample: Callable[[], Sequence[Sequence[str]]],
) -> tuple[dict[str, int], dict[str, int]]:
    """Return where our columns and the watched ones are, and note what is passed over."""
    places = names.places(path.name, header, dataset, sample)
    notes.columns_reordered = list(places.values()) != sorted(places.values())
    ignored = set(dataset.columns.ignore)
    notes.passed_over = [
        name or "(no name)"
        for place, name in enumerate(header)
        if place not in places.values() and name not in ignored
    ]
    free = tuple("" if name in ignored else name for name in header)
    return places, names.watched(free, places.values(), words)


# --- text ---------------------------------------------------------------------------------------


def _text(
    path: Path, dataset: DataSet, notes: FileNotes, words: frozenset[str]
) -> Iterator[pa.Table]:
    rename = dataset.columns.rename
    known = [rename.get(name, name) for name in dataset.in_files]
    found = text_format(path, dataset.format, known)
    notes.format = found.told
    places, watched = _find(path, found.header, dataset, notes, words, found.sample)
    # The words of a phase are the one text that white space may stand in.
    phase = dataset.phases.column if dataset.phases.recorded else ""
    texts = {phase: places.pop(phase), **watched} if phase else watched
    layout = Layout(path, found, places, phase, texts)
    last_phase = None
    with lines_of(path, found.compression, found.encoding) as stream:
        try:
            for line, block, is_last in blocks(stream, found.header_line, _BLOCK_BYTES):
                table = columns(block, layout, line, is_last=is_last)
                if phase and table.num_rows:
                    last_phase = table.column(phase)[-1].as_py()
                yield table
        except csv.Error as error:
            raise ToolwearError(f"{path.name} can't be read as CSV ({error}).") from None
        notes.bare_carriage_returns = stream.bare_carriage_returns
        ended = stream.ends_with_newline
    if last_phase is not None and not ended and last_phase not in dataset.phases.known:
        raise ToolwearError(
            f"{path.name} is cut off: its last row ends in '{last_phase}'; copy it again."
        )


# --- Parquet ------------------------------------------------------------------------------------


def _parquet(
    path: Path, dataset: DataSet, notes: FileNotes, words: frozenset[str]
) -> Iterator[pa.Table]:
    notes.format = "Parquet"
    try:
        # Text is read as what a dictionary holds: a cell that is repeated may be large.
        texts = [field.name for field in pq.read_schema(path) if not pa.types.is_nested(field.type)]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            header = tuple(name.strip() for name in file.schema_arrow.names)
            stored = dict(zip(header, file.schema_arrow.names, strict=True))
            sample = partial(_sample, path, file)
            places, watched = _find(path, header, dataset, notes, words, sample)
            wanted = {**places, **watched}
            asked = [stored[header[place]] for place in wanted.values()]
            for batch in _batches(path, file, _PARQUET_ROWS, asked):
                yield pa.table(
                    {
                        name: _cast(path, name, batch.column(column), dataset)
                        for name, column in zip(wanted, asked, strict=True)
                    }
                )
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ToolwearError(
            f"{path.name} can't be read as Parquet: it is cut off or damaged; copy it again."
        ) from None


def _sample(path: Path, file: pq.ParquetFile) -> tuple[tuple[str, ...], ...]:
    if len(set(file.schema_arrow.names)) < len(file.schema_arrow.names):
        return ()
    flat = [field.name for field in file.schema_arrow if not pa.types.is_nested(field.type)]
    first = next(_batches(path, file, 500, flat), None)
    if first is None:
        return ()
    cells = dict.fromkeys(file.schema_arrow.names, [""] * first.num_rows)
    for name, column in zip(flat, first.columns, strict=True):
        cells[name] = [str(value) for value in column.to_pylist()]
    return tuple(zip(*cells.values(), strict=True))


def _batches(
    path: Path, file: pq.ParquetFile, rows: int, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    """Yield rows of cells that take no more memory than rows of ours could."""
    for name in columns:
        if pa.types.is_nested(file.schema_arrow.field(name).type):
            raise ToolwearError(f"{path.name}: the column '{name}' holds lists; store one value.")
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    stored = (group.column(place) for group in groups for place in range(group.num_columns))
    for part in stored:
        if part.path_in_schema in columns:
            _check_cells(path, part.path_in_schema, part.total_uncompressed_size, part.num_values)
    for batch in file.iter_batches(rows, columns=columns, use_threads=False):
        for name, column in zip(columns, batch.columns, strict=True):
            if pa.types.is_dictionary(column.type):
                length = pc.take(pc.binary_length(column.dictionary), column.indices)
                _check_cells(path, name, pc.sum(length).as_py() or 0, len(column))
        yield batch


def _check_cells(path: Path, name: str, size: int, cells: int) -> None:
    if size > _BLOCK_BYTES + _CELL_BYTES * cells:
        raise ToolwearError(
            f"{path.name}: the cells of the column '{name}' are longer than {_CELL_BYTES} bytes; "
            "export the recording again."
        )


def _cast(path: Path, name: str, column: pa.Array, dataset: DataSet) -> pa.Array:
    is_text = name not in dataset.signals
    try:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        found = column.cast(pa.string() if is_text else pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise ToolwearError(
            f"{path.name}: the column '{name}' holds {column.type} rather than numbers; store it "
            "as numbers."
        ) from None
    return found
