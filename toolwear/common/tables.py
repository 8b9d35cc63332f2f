"""Parquet files of the workspace: regular, and of a bounded size when they are read, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from toolwear.common.errors import ToolwearError
from toolwear.common.files import see_regular

ROOM_BYTES = 2 << 30  # of a file's columns in memory
_WIDTH = 8  # bytes of a number


def see_table(path: Path, room: int = ROOM_BYTES) -> Path:
    """Return the path of a Parquet file that is read whole, if that does no harm.

    Args:
        path: of the file.
        room: in bytes, what it may take in memory by its own account.

    Raises:
        FileNotFoundError: there is no such file.
        ToolwearError: it is no Parquet file, not a regular one, or too large.
    """
    see_regular(path)
    with _told(path):
        about = pq.read_metadata(path)
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    told = sum(group.total_byte_size for group in groups)
    if max(told, about.num_rows * about.num_columns * _WIDTH) > room:
        raise ToolwearError(f"{path} can't be read: it takes more than {room:,} bytes of memory.")
    return path


def read_table(path: Path, **options: Any) -> pa.Table:
    """Return a table.

    Args:
        path: of the file.
        options: of `pyarrow.parquet.read_table`.

    Raises:
        FileNotFoundError: there is no such file.
        ToolwearError: it is no Parquet file, not a regular one, too large, or damaged.
    """
    see_table(path)
    with _told(path):
        return pq.read_table(path, **options)


def read_schema(path: Path) -> pa.Schema:
    """Return the columns of a table; see `read_table`."""
    see_table(path)
    return pq.read_schema(path)


def read_frame(path: Path, **options: Any) -> pd.DataFrame:
    """Return a table as a data frame; see `read_table`."""
    return read_table(path, **options).to_pandas()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        first = str(error).partition("\n")[0][:200].rstrip(".")
        raise ToolwearError(f"{path} can't be read as a Parquet table: {first}.") from None
