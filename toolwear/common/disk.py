"""Faults of disks and permissions, told as what a person can mend; files that are whole or absent.

Kept to the standard library and Python 3.9 so that the AutoML environment can import it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolwear.common.errors import ToolwearError

_NO_ROOM = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "it would be larger than a file may be here",
}
_MEND = "free some space, then try again (`toolwear prune` removes what a home holds too much)"
_MENDABLE = {
    **{code: f"{what}; {_MEND}" for code, what in _NO_ROOM.items()},
    errno.EACCES: "the permission is missing; grant it",
    errno.EPERM: "the permission is missing; grant it",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of its path is a file; choose another folder",
    errno.EEXIST: "a part of its path is a file; choose another folder",
}
_SQLITE = "database or disk is full"


@contextmanager
def mendable(place: Path) -> Iterator[None]:
    """Turn an `OSError` that a person can mend into a sentence; others go on as they are.

    Args:
        place: named in the sentence where the error itself names no file.

    Raises:
        ToolwearError: the disk is full, or a path can't be read or written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        what = _MENDABLE[error.errno]
        raise ToolwearError(f"{error.filename or place} can't be used: {what}.") from error


def no_room(error: BaseException) -> str:
    """Return a sentence if an error comes of a disk without room, else "".

    MLflow, SQLAlchemy and Arrow put errors of their own around the one of the system.
    """
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if isinstance(found, OSError) and found.errno in _NO_ROOM:
            place = f"{found.filename} can't be written" if found.filename else "Nothing is written"
            return f"{place}: {_NO_ROOM[found.errno]}; {_MEND}."
        if isinstance(found, sqlite3.Error) and _SQLITE in str(found):
            return f"A database can't be written: the disk is full; {_MEND}."
        found = found.__cause__ or found.__context__
    return ""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` at the end: nobody sees a part of the file.

    Args:
        path: is replaced if it is there; its folder has to be.

    Raises:
        ToolwearError: the disk has no room; what was written so far is removed.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            yield Path(temporary)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise ToolwearError(f"{path} can't be written: {_MENDABLE[error.errno]}.") from error
