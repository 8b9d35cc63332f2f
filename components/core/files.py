"""Files of the workspace, which others may have written: regular, no links, of a bounded size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from components.core.errors import ToolwearError

TEXT_BYTES = 64 << 20  # of a JSON file, a report or a log that is read whole
TABLE_BYTES = 4 << 30  # of a Parquet file or a database, which is read in pieces


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
    try:
        # Without waiting: opening a named pipe would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise ToolwearError(f"{path} can't be read: {_reason(path, error)}.") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ToolwearError(f"{path} can't be read: it is not a regular file.")
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ToolwearError(f"{path} can't be read: it is longer than {limit:,} bytes.")
    return data


def _reason(path: Path, error: OSError) -> str:
    return "it is a link" if path.is_symlink() else (error.strerror or "unknown fault").lower()
