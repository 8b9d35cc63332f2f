"""How far the work is, in a file that others read meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from toolwear.common import jsonfile
from toolwear.common.disk import mendable
from toolwear.common.errors import ToolwearError
from toolwear.run.scoring import PROGRESS_FILE, Progress

Note = Callable[..., None]
_SECONDS = 1.0


@contextmanager
def noted(folder: Path | None) -> Iterator[Note]:
    """Give what notes how far the work is: a function of what has changed in `Progress`.

    The file has what was noted last within a second, however often something is, and at the end,
    also of work that fails. It is whole at any time.

    Args:
        folder: gets the file, and is made if need be; None: nobody wants to know.

    Raises:
        ToolwearError: at the end the file can't be written.
    """
    now = written = Progress()
    over = threading.Event()

    def note(**changed: Any) -> None:
        nonlocal now
        now = now.model_copy(update=changed)

    def write() -> None:
        nonlocal written
        newest = now
        if folder is not None and newest != written:
            with mendable(folder):
                jsonfile.write(folder / PROGRESS_FILE, newest.model_dump())
            written = newest

    def write_on() -> None:
        while not over.wait(_SECONDS):
            with suppress(ToolwearError, OSError):  # it is tried again, and at the end told
                write()

    try:
        with ThreadPoolExecutor(1) as threads:
            writing = threads.submit(write_on)
            try:
                yield note
            finally:
                over.set()
                writing.result()
    finally:
        write()
