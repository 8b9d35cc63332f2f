"""Faults of disks and permissions, told as what a person can mend."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolwear.common.errors import ToolwearError

_MENDABLE = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EACCES: "the permission is missing; grant it",
    errno.EPERM: "the permission is missing; grant it",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of its path is a file; choose another folder",
    errno.EEXIST: "a part of its path is a file; choose another folder",
}


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
