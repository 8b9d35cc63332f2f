"""New recordings in a bucket: copied to the home once they have come to rest, and told of then."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving.trigger.watch import Signature, Watch
from toolwear.common import s3
from toolwear.common.digest import json_digest
from toolwear.common.errors import ToolwearError
from toolwear.dataset.sources import may_be_read

LATEST = "latest"  # link to the newest copy, which runs of other causes train on
_POLL_SECONDS = 10.0
_COPIES = 3  # the newest, and those of the runs at work and waiting
_log = logging.getLogger("toolwear.trigger")


class BucketWatch(Watch):
    """Looks at the objects right below a prefix.

    Args:
        address: s3://bucket/prefix.
        copies: folder in which each state that came to rest gets a folder.
        settle_seconds: how long the objects have to stay as they are before they count.
        known: tells whether recordings of this digest were trained on before.
        dataset: contract that runs read them by, as JSON; empty for their own, else the mill's.

    Raises:
        ToolwearError: the address names no bucket.
    """

    def __init__(
        self,
        address: str,
        copies: Path,
        settle_seconds: float,
        known: Callable[[str], bool],
        dataset: str,
    ) -> None:
        poll = min(_POLL_SECONDS, max(1.0, settle_seconds / 3))
        super().__init__(settle_seconds, known, dataset, poll)
        self._address = address
        self._bucket, self._prefix = s3.place_in(address)
        if not self._bucket:
            raise ToolwearError(f"'{address}' names no bucket; write one like s3://bucket/prefix.")
        self._copies = copies
        self._store: Any = None

    @property
    def name(self) -> str:
        """Its address."""
        return self._address

    def signature(self) -> Signature:
        """Return the objects' names, sizes and tags; what could not be listed is as it was."""
        found: list[tuple[str, int, str]] = []

        def read(store: Any) -> None:
            listed = s3.items(store, self._bucket, self._prefix)
            found.extend((i.name, i.size, i.tag) for i in listed if may_be_read(i.name))

        return tuple(sorted(found)) if self._asked(read) else self._seen

    def brought(self, seen: Signature) -> Path | None:
        """Copy the objects, unless that was done, and point the link to the copy."""
        folder = self._copies / json_digest(seen)[:16]
        if not folder.is_dir():
            partial = self._copies / f".{folder.name}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)

            def read(store: Any) -> None:
                for name, _, _ in seen:
                    store.download_file(self._bucket, self._prefix + name, str(partial / name))

            if not self._asked(read):
                return None
            partial.replace(folder)
        link = self._copies / f".{LATEST}"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        link.replace(self._copies / LATEST)
        self._sweep()
        return folder

    def _sweep(self) -> None:
        found = [path for path in self._copies.iterdir() if path.is_dir() and not path.is_symlink()]
        found.sort(key=lambda path: path.stat().st_ctime, reverse=True)
        for path in found[_COPIES:]:
            shutil.rmtree(path)

    def _asked(self, work: Callable[[Any], None]) -> bool:
        """Do the work with a client; False if the store does not answer or refuses."""
        faults = s3.faults()
        try:
            if self._store is None:
                self._store = s3.client()
            work(self._store)
        except faults as error:
            # Whatever it is, a person mends it.
            _log.warning("%s can't be read: %s", self._address, error)
            return False
        return True
