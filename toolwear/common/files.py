"""Files of the workspace, which others may have written: regular, no links, of a bounded size."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from toolwear.common.errors import ToolwearError

TEXT_BYTES = 64 << 20  # of a JSON file, a report or a log that is read whole
TABLE_BYTES = 4 << 30  # of a Parquet file or a database, which is read in pieces
# The last bytes of a journal of SQLite that names the file of a larger transaction.
_OF_SEVERAL = bytes.fromhex("d9d505f920a163d7")


def see_regular(path: Path, limit: int = TABLE_BYTES) -> Path:
    """Return the path of a file that a library is to open by it, if that does no harm.

    Args:
        path: of the file; nothing is said where there is none, as the library does that.
        limit: in bytes, of its size.

    Raises:
        ToolwearError: it is a link, a device or the like, or longer than the limit.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    if stat.S_ISLNK(found.st_mode):
        raise ToolwearError(f"{path} can't be read: it is a link.")
    if not stat.S_ISREG(found.st_mode):
        raise ToolwearError(f"{path} can't be read: it is not a regular file.")
    if found.st_size > limit:
        raise ToolwearError(f"{path} can't be read: it is longer than {limit:,} bytes.")
    return path


def see_database(path: Path) -> Path:
    """Return the path of a database that SQLite is to open by it, if that does no harm.

    SQLite plays back the journal that lies beside it, and removes the file that this names as that
    of a transaction over several databases. Ours never have several: it could be any file.

    Raises:
        ToolwearError: as of `see_regular`, or there is such a journal.
    """
    see_regular(path)
    journal = path.with_name(f"{path.name}-journal")
    try:
        with open_regular(journal) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - len(_OF_SEVERAL)))
            several = stream.read() == _OF_SEVERAL
    except (FileNotFoundError, NotADirectoryError):
        return path
    if several:
        raise ToolwearError(
            f"{path} can't be read: {journal.name} beside it is of a transaction over several "
            "databases, which toolwear does not make; remove that file."
        )
    return path


def read_regular(path: Path, limit: int) -> bytes:
    """Return a file's bytes; its folder may be reached by links, the file itself may not be one.

    Args:
        path: of the file.
        limit: in bytes, of what is read.

    Raises:
        FileNotFoundError: there is no such file.
        NotADirectoryError: the same.
        ToolwearError: it is a link, a device or the like, or longer than the limit.
    """
    with open_regular(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ToolwearError(f"{path} can't be read: it is longer than {limit:,} bytes.")
    return data


def read_end(path: Path, limit: int) -> str:
    """Return the last bytes of a log as text, at most `limit` of them; see `read_regular`."""
    with open_regular(path) as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - limit))
        return stream.read(limit).decode(errors="replace")


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read, as `read_regular` does.

    Raises:
        FileNotFoundError: there is no such file.
        NotADirectoryError: the same.
        ToolwearError: it is a link, a device or the like.
    """
    return os.fdopen(_opened(path, os.O_RDONLY), "rb")


def open_lock(path: Path, *, create: bool) -> int:
    """Return the descriptor of a file to lock; see `open_regular`."""
    return _opened(path, os.O_RDWR | (os.O_CREAT if create else 0))


def _opened(path: Path, how: int) -> int:
    try:
        # Without waiting: opening a named pipe would otherwise wait for its other end.
        descriptor = os.open(path, how | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise ToolwearError(f"{path} can't be read: {_reason(path, error)}.") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ToolwearError(f"{path} can't be read: it is not a regular file.")
    return descriptor


def _reason(path: Path, error: OSError) -> str:
    return "it is a link" if path.is_symlink() else (error.strerror or "unknown fault").lower()
