"""The home's own database: read as of one moment, written in one transaction."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from toolwear.common.errors import ToolwearError
from toolwear.common.files import see_database

_BUSY_SECONDS = 60.0
_BYTES = 64 << 20
# Says nothing of what is in it, so that it must not be called a change.
_AWAY = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)


class NotOursError(Exception):
    """The file is not what we have written; its text says why."""


def is_there(path: Path) -> bool:
    """Tell whether there is a database.

    Raises:
        NotOursError: it is no file, or too large a one, and not to be opened at all.
    """
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(there.st_mode):
        raise NotOursError("it is no regular file")
    if there.st_size > _BYTES:
        raise NotOursError(f"it has more than {_BYTES >> 20} MiB")
    return True


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that is there, as of one moment.

    Raises:
        NotOursError: it is none.
        ToolwearError: it is locked or away, which says nothing of its content.
    """
    try:
        with _opened(path) as database:
            database.execute("BEGIN")
            yield database
    except sqlite3.DatabaseError as error:
        raise _told(path, error) from None


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open or make the database for one transaction, which is on the disk at the end.

    Raises:
        NotOursError: it is none.
        ToolwearError: it is locked or away, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with _opened(path) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        raise _told(path, error) from None


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    # What a killed writer has left is put right by whoever opens it next. Where the file cannot be
    # written, SQLite itself opens it for reading only.
    uri = f"{see_database(path).resolve().as_uri()}?mode=rw"
    database = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    with closing(database):
        database.text_factory = bytes
        database.execute("PRAGMA trusted_schema=OFF")
        yield database


def _told(path: Path, error: sqlite3.DatabaseError) -> Exception:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code not in _AWAY:
        return NotOursError(str(error))
    return ToolwearError(f"{path} cannot be used now ({error}); mend that, then try again.")
