"""A table that a server reads is a regular file, whole, and of a bounded size in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolwear.common.errors import ToolwearError
from toolwear.common.tables import read_frame, read_schema, read_table


def endless(path: Path) -> None:
    path.touch()
    os.truncate(path, 5 << 30)


def broken(path: Path) -> None:
    pq.write_table(pa.table({"x": np.arange(10_000)}), path)
    data = bytearray(path.read_bytes())
    data[100:5000] = bytes(4900)
    path.write_bytes(data)


def bomb(path: Path) -> None:
    """Write 400 million equal numbers, which take some kilobytes on the disk."""
    batch = pa.table({"x": pa.array(np.zeros(20_000_000))})
    with pq.ParquetWriter(path, batch.schema, compression="zstd") as writer:
        for _ in range(20):
            writer.write_table(batch, row_group_size=20_000_000)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "link": (lambda path: path.symlink_to("/dev/zero"), "it is a link"),
    "pipe": (os.mkfifo, "it is not a regular file"),
    "folder": (lambda path: path.mkdir(), "it is not a regular file"),
    "endless": (endless, "it is longer than 4,294,967,296 bytes"),
    "no table": (lambda path: path.write_bytes(b"x" * 100), "as a Parquet table"),
    "broken": (broken, "as a Parquet table"),
    "bomb": (bomb, "it takes more than 2,147,483,648 bytes of memory"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_fit_table_is_told_in_a_sentence(tmp_path: Path, fault: str) -> None:
    make, said = FAULTS[fault]
    path = tmp_path / "table.parquet"
    make(path)
    with pytest.raises(ToolwearError) as raised:
        read_table(path)
    assert str(raised.value).startswith(f"{path} can't be read")
    assert said in str(raised.value)
    assert str(raised.value).count("\n") == 0


def test_a_table_is_read_and_a_missing_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"x": [1, 2], "y": [3, 4]}), path)
    assert read_frame(path, columns=["y"])["y"].tolist() == [3, 4]
    assert read_schema(path).names == ["x", "y"]
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "other.parquet")
