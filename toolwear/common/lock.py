"""A lock between processes that the kernel lets go of when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolwear.common.errors import ToolwearError
from toolwear.common.files import open_lock

_POLL_SECONDS = 0.05


@contextmanager
def exclusive(path: Path, what: str, seconds: float = 60.0) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; wait for whoever else holds it.

    Args:
        path: is created and stays.
        what: is going on under the lock, such as "moving the champion", for the message.
        seconds: how long to wait.

    Raises:
        ToolwearError: another process has kept it for longer than that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    with os.fdopen(open_lock(path, create=True), "rb") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ToolwearError(
                        f"Another process is {what} and did not finish within {seconds:.0f} s; "
                        "wait for it or end it, then try again."
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield


def is_held(path: Path) -> bool:
    """Tell whether a process holds the lock file `path`."""
    try:
        descriptor = open_lock(path, create=False)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two that look do not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
