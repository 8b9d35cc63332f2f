"""New recordings: a folder or a bucket that is looked at, and told of once it has come to rest."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from serving.trigger.store import Request
from toolwear.common.causes import Cause
from toolwear.common.errors import ToolwearError
from toolwear.dataset import contract
from toolwear.dataset.contract import DataSet
from toolwear.dataset.run_table import read_run_table
from toolwear.dataset.sources import may_be_read, run_files, run_table_file, source_digest

_log = logging.getLogger("toolwear.trigger")
# Of each file that a digest would be made of: name, size, and what changes with its content.
Signature = tuple[tuple[str, int, str], ...]


class Watch(ABC):
    """Looks at recordings again and again.

    They are polled: neither a network drive nor every bucket tells of changes.

    Args:
        settle_seconds: how long they have to stay as they are before they count.
        known: tells whether recordings of this digest were trained on before.
        dataset: contract that runs read them by, as JSON; empty for their own, else the mill's.
        poll_seconds: between two looks.
    """

    def __init__(
        self,
        settle_seconds: float,
        known: Callable[[str], bool],
        dataset: str,
        poll_seconds: float = 0.0,
    ) -> None:
        self._settle = settle_seconds
        self._known = known
        self._dataset = dataset
        self._poll = poll_seconds
        self._next = 0.0
        self._seen: Signature = ()
        self._since = 0.0
        self._read: Signature = ()
        self.note = ""  # what the recordings wait for

    def look(self, now: float) -> Request | None:
        """Return the cause that new recordings are, if there are any and they have come to rest."""
        if now < self._next:
            return None
        self._next = now + self._poll
        seen = self.signature()
        if seen != self._seen:
            self._seen, self._since = seen, now
        if not seen or seen == self._read or now - self._since < self._settle:
            return None
        try:
            folder = self.brought(seen)
            lacking, digest = self._lacking_and_digest(folder) if folder is not None else ([], "")
        except ToolwearError as error:
            self._wait(seen, f"{self.name} is not whole yet: {error}")
            return None
        if folder is None or self.signature() != seen:
            return None
        if lacking:
            told = ", ".join(lacking)
            self._wait(seen, f"{self.name} waits for labels in the table of runs: {told}")
            return None
        self._read, self.note = seen, ""
        if self._known(digest):
            return None
        return Request(
            Cause.NEW_DATA,
            f"{self.name}, sha256 {digest[:12]}",
            f"data:{digest}",
            {"data": str(folder)},
        )

    def _lacking_and_digest(self, folder: Path) -> tuple[list[str], str]:
        dataset = contract.resolve(self._dataset, folder)
        return unlabelled(folder, dataset), source_digest(folder, dataset)

    def _wait(self, seen: Signature, note: str) -> None:
        _log.warning(note)
        self._read, self.note = seen, note

    @property
    @abstractmethod
    def name(self) -> str:
        """What a reader knows them by."""

    @abstractmethod
    def signature(self) -> Signature:
        """Return names, sizes and versions of what is there; empty if nothing is."""

    @abstractmethod
    def brought(self, seen: Signature) -> Path | None:
        """Return the folder in which runs find them; None if they could not be had now."""


def unlabelled(folder: Path, dataset: DataSet) -> list[str]:
    """Return the names of the recordings' files whose label the table of runs lacks.

    Where one file holds all recordings, the ingest step finds those without a label.

    Raises:
        ToolwearError: the table is not there or can't be read.
    """
    table = run_table_file(folder, dataset)
    if table is None or dataset.label.of == "row":
        return []
    runs, _ = read_run_table(table, dataset)
    if dataset.recordings.file:
        return []
    known = {run.number for run in runs if run.worn is not None}
    files = run_files(folder, dataset)
    return [path.name for number, path in files.items() if number not in known]


class FolderWatch(Watch):
    """Looks at a folder of recordings and their table, there now or later."""

    def __init__(
        self, folder: Path, settle_seconds: float, known: Callable[[str], bool], dataset: str
    ) -> None:
        super().__init__(settle_seconds, known, dataset)
        self._folder = folder

    @property
    def name(self) -> str:
        """The folder's own."""
        return self._folder.name

    def signature(self) -> Signature:
        """Return the files' names, sizes and times."""
        try:
            files = sorted(path for path in self._folder.iterdir() if may_be_read(path.name))
            about = [(path.name, path.stat()) for path in files if path.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return ()  # not there yet, or a file went while we looked
        return tuple((name, found.st_size, str(found.st_mtime_ns)) for name, found in about)

    def brought(self, seen: Signature) -> Path:  # noqa: ARG002
        """Return the folder itself."""
        return self._folder
