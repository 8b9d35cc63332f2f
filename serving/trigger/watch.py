"""New recordings: a folder that is looked at, and told of once it has come to rest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from components.core import schema
from components.core.causes import Cause
from components.core.errors import ToolwearError
from components.ingest.sources import SIMULATED_FILE, run_files, source_digest
from serving.trigger.store import Request

_log = logging.getLogger("toolwear.trigger")
Signature = tuple[tuple[str, int, int], ...]


class FolderWatch:
    """Looks at a folder again and again.

    It is polled: on network drives, where recordings often land, no file system tells of changes.

    Args:
        folder: with train.csv and experiment_NN.csv, now or later.
        settle_seconds: how long it has to stay as it is before it counts.
        known: tells whether recordings of this digest were trained on before.
    """

    def __init__(self, folder: Path, settle_seconds: float, known: Callable[[str], bool]) -> None:
        self._folder = folder
        self._settle = settle_seconds
        self._known = known
        self._seen: Signature = ()
        self._since = 0.0
        self._read: Signature = ()

    def look(self, now: float) -> Request | None:
        """Return the cause that new recordings are, if there are any and they have come to rest."""
        seen = self._signature()
        if seen != self._seen:
            self._seen, self._since = seen, now
        if not seen or seen == self._read or now - self._since < self._settle:
            return None
        try:
            digest = source_digest(self._folder)
        except ToolwearError as error:
            _log.warning("the recordings are not whole yet: %s", error)
            self._read = seen
            return None
        if self._signature() != seen:
            return None
        self._read = seen
        if self._known(digest):
            return None
        return Request(
            Cause.NEW_DATA,
            f"{self._folder.name}, sha256 {digest[:12]}",
            f"data:{digest}",
            {"data": str(self._folder)},
        )

    def _signature(self) -> Signature:
        """Return names, sizes and times of the files that a digest would be made of."""
        folder = self._folder
        try:
            extra = [folder / schema.RUN_TABLE_FILE, folder / SIMULATED_FILE]
            files = [*(path for path in extra if path.is_file()), *run_files(folder).values()]
            about = [(path.name, path.stat()) for path in files]
        except (FileNotFoundError, NotADirectoryError):
            return ()  # not there yet, or a file went while we looked
        return tuple((name, found.st_size, found.st_mtime_ns) for name, found in about)
