"""Files of the payload log.

A Parquet file has its index at its end, so one that is cut off is lost. A file under way is
therefore an Arrow stream, which is whole up to its last batch whatever happens; it becomes Parquet
when it is finished, or, after a crash, at the next start.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from toolwear.common.disk import whole
from toolwear.common.errors import ToolwearError
from toolwear.common.files import open_regular
from toolwear.common.tables import read_table
from toolwear.workspace.home import Home

UNDER_WAY = ".arrows.open"
FINISHED = ".parquet"
_numbers = itertools.count()
_log = logging.getLogger("toolwear.serving")


def folder(home: Path) -> Path:
    """Return where the log is."""
    return Home(home).payloads


class Segment:
    """A file under way.

    Args:
        root: the log's folder.
        kind: first part of the name.
        schema: of its rows.
    """

    def __init__(self, root: Path, kind: str, schema: pa.Schema) -> None:
        root.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        self.path = root / f"{kind}-{stamp}-{os.getpid()}-{next(_numbers)}{UNDER_WAY}"
        self.schema = schema
        self.rows = 0
        self._started = time.monotonic()
        self._stream = self.path.open("wb")
        # Held as long as we live: it tells a later start that this file is not an orphan.
        fcntl.flock(self._stream, fcntl.LOCK_EX)
        self._writer = pa.ipc.new_stream(self._stream, schema)

    @property
    def bytes(self) -> int:
        """Its size."""
        return self._stream.tell()

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._started

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; a killed process does not lose them."""
        self._writer.write_batch(batch)
        self._stream.flush()
        self.rows += batch.num_rows

    def leave(self) -> None:
        """Stop writing: a later start makes of it what is whole; without a row it is removed."""
        self._stream.close()
        if not self.rows:
            self.path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Make it Parquet."""
        self._writer.close()
        self._stream.flush()
        finish(self.path)
        self._stream.close()


def finish(path: Path) -> None:
    """Turn a file under way into Parquet; one without a whole batch is removed."""
    final = _final(path)
    if not final.exists():
        table = read_stream(path)
        if table is not None and table.num_rows:
            with whole(final) as partial:
                pq.write_table(table, partial, compression="zstd")
    path.unlink()


def recover(root: Path) -> int:
    """Finish the files that a killed process left; return how many."""
    count = 0
    for path in sorted(root.glob(f"*{UNDER_WAY}")):
        try:
            stream = open_regular(path)
        except ToolwearError as error:
            _leave_out(str(error))
            continue
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # somebody is writing it
            finish(path)
            count += 1
    for partial in root.glob(f".*{FINISHED}.*"):
        partial.unlink(missing_ok=True)
    return count


def bound(root: Path, limit: float) -> list[Path]:
    """Remove the oldest finished files until all files take `limit` bytes; return the removed."""
    files = sorted(root.glob(f"*{FINISHED}"), key=lambda path: path.stat().st_mtime_ns)
    total = sum(path.stat().st_size for path in root.iterdir() if path.is_file())
    removed = []
    for path in files:
        if total <= limit:
            break
        total -= path.stat().st_size
        path.unlink(missing_ok=True)
        removed.append(path)
    return removed


def tables(root: Path, kind: str, choose: Callable[[Path], pa.Table]) -> list[pa.Table]:
    """Return what is in the log, finished or not, oldest file first.

    Args:
        root: the log's folder.
        kind: of the files.
        choose: reads a Parquet file; files under way are read whole.
    """
    tables = (_table(root / stem, choose) for stem in stems(root, kind))
    return [table for table in tables if table is not None]


def stems(root: Path, kind: str) -> list[str]:
    """Return the names of the files of a kind without their endings, oldest first."""
    suffixes = (FINISHED, UNDER_WAY)
    return sorted(
        {
            path.name.removesuffix(suffix)
            for path in root.glob(f"{kind}-*")
            for suffix in suffixes
            if path.name.endswith(suffix)
        }
    )


def one(root: Path, stem: str) -> pa.Table | None:
    """Return what is in one file, finished or not; None if it is gone or has nothing yet."""
    return _table(root / stem, read_table)


def _table(stem: Path, choose: Callable[[Path], pa.Table]) -> pa.Table | None:
    finished = stem.with_name(stem.name + FINISHED)
    # It may be finished, and later removed, while we look.
    for path in (finished, stem.with_name(stem.name + UNDER_WAY), finished):
        try:
            return choose(path) if path == finished else read_stream(path)
        except FileNotFoundError:
            continue
        except ToolwearError as error:
            _leave_out(str(error))
            return None
    return None


@cache
def _leave_out(sentence: str) -> None:
    """Say once that a file is left out of the log: one that somebody put there stops no reader."""
    _log.warning("left out of the payload log: %s", sentence)


def read_stream(path: Path) -> pa.Table | None:
    """Return the whole batches of a file under way, None if it has not even its schema.

    Raises:
        FileNotFoundError: there is no such file.
        ToolwearError: it is not a regular one.
    """
    batches = []
    with open_regular(path) as stream:
        try:
            reader = pa.ipc.open_stream(stream)
        except pa.ArrowException:
            return None
        while True:
            try:
                batches.append(reader.read_next_batch())
            except (StopIteration, pa.ArrowException, OSError):
                return pa.Table.from_batches(batches, reader.schema)


def _final(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(UNDER_WAY) + FINISHED)
