"""Small files that would unpack to much: each gets its sentence before it has the memory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets.cnc_mill import names as mill
from toolwear.common.errors import ToolwearError
from toolwear.dataset.contract import default
from toolwear.dataset.run_file import FileNotes, read_batches

ROWS = 1500
LARGE = "A" * 500_000


def written(path: Path, *, page: bool = False, **changed: pa.Array) -> Path:
    columns: dict[str, pa.Array] = {name: pa.array([1.5] * ROWS) for name in mill.NUMERIC_COLUMNS}
    columns[mill.PHASE] = pa.array(["Prep"] * ROWS)
    table = pa.table({**columns, **changed})
    pq.write_table(table, path, compression="zstd", use_dictionary=not page)
    return path


def read(path: Path) -> list[pa.RecordBatch]:
    return list(read_batches(path, default(), FileNotes()))


def read_in_little_memory(path: Path) -> list[pa.RecordBatch]:
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    try:
        return read(path)
    finally:
        assert pool.bytes_allocated() - before < 16 << 20


@pytest.mark.parametrize("name", [mill.PHASE, mill.NUMERIC_COLUMNS[0]])
def test_a_large_text_that_is_repeated_is_refused_as_it_lies(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "run.parquet", **{name: pa.array([LARGE] * ROWS)})
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ToolwearError, match=f"the cells of the column '{name}' are longer"):
        read_in_little_memory(path)


@pytest.mark.parametrize("page", [False, True])
def test_one_that_nobody_asks_for_is_passed_over(tmp_path: Path, page: bool) -> None:
    text = pa.array([LARGE[:9000]] * ROWS)
    path = written(tmp_path / "run.parquet", page=page, beside=text)
    assert sum(batch.num_rows for batch in read_in_little_memory(path)) == ROWS


def test_one_that_is_looked_at_for_a_missing_column_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "run.parquet", page=True, beside=pa.array([LARGE[:9000]] * ROWS))
    pq.write_table(pq.read_table(path).drop_columns([mill.PHASE]), path)
    with pytest.raises(ToolwearError, match="the cells of the column 'beside' are longer"):
        read_in_little_memory(path)


def test_lists_are_passed_over_and_are_no_numbers(tmp_path: Path) -> None:
    lists = pa.array([[1.5] * 2000] * ROWS)
    (batch,) = read(written(tmp_path / "run.parquet", beside=lists))
    assert batch.num_rows == ROWS
    number = mill.NUMERIC_COLUMNS[0]
    with pytest.raises(ToolwearError, match=f"the column '{number}' holds lists"):
        read(written(tmp_path / "other.parquet", **{number: lists}))


def test_a_header_that_no_reader_of_csv_takes_has_its_sentence(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_text("A" * 200_000 + "\n1\n")
    with pytest.raises(ToolwearError, match=r"can't be read as CSV \(field larger"):
        read(path)
