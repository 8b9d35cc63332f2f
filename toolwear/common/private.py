"""What a home holds is for its owner only: files are made so, and narrowed where they were not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_OTHERS = 0o077  # group and others


def keep_private(home: Path | None = None) -> None:
    """Let nobody else read what this process and its children write; take it from what is there.

    Args:
        home: whose files and folders are narrowed, as far as they are this user's; None if
            nothing is known to be there. The folder itself keeps the mode that its owner gave it.
    """
    os.umask(_OTHERS)
    if home is None or not home.is_dir():
        return
    own = os.geteuid()
    for entry in _below(home):
        try:
            found = entry.stat(follow_symlinks=False)
            if found.st_uid == own and found.st_mode & _OTHERS:
                os.chmod(entry.path, found.st_mode & 0o7700)  # noqa: PTH101 - thousands of them
        except OSError:  # gone meanwhile, or the disk can't be written: then it stays as it is
            continue


def _below(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Yield all in a folder, without following a link."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            continue
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)
