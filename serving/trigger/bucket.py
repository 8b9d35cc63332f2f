"""New recordings in a bucket: copied to the home once they have come to rest, and told of then."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from serving.trigger.watch import Signature, Watch
from toolwear.common.digest import json_digest
from toolwear.common.errors import ToolwearError
from toolwear.dataset.sources import may_be_read

SCHEME = "s3"
LATEST = "latest"  # link to the newest copy, which runs of other causes train on
_POLL_SECONDS = 10.0
_COPIES = 3  # the newest, and those of the runs at work and waiting
_SECONDS, _ATTEMPTS = 10, 3
_log = logging.getLogger("toolwear.trigger")


def is_bucket(address: str) -> bool:
    """Tell whether an address is one of S3.

    Raises:
        ToolwearError: it is, but names no bucket.
    """
    parts = urlsplit(address)
    if parts.scheme != SCHEME:
        return False
    if not parts.netloc:
        raise ToolwearError(f"'{address}' names no bucket; write one like s3://bucket/prefix.")
    return True


class BucketWatch(Watch):
    """Looks at the objects right below a prefix.

    The endpoint and the credentials are boto3's: `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and so on.

    Args:
        address: s3://bucket/prefix.
        copies: folder in which each state that came to rest gets a folder.
        settle_seconds: how long the objects have to stay as they are before they count.
        known: tells whether recordings of this digest were trained on before.
        dataset: contract that runs read them by, as JSON; empty for their own, else the mill's.
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
        parts = urlsplit(address)
        self._address = address
        self._bucket = parts.netloc
        prefix = parts.path.strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
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
            pages = store.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
            )
            for page in pages:
                for item in page.get("Contents", []):
                    name = item["Key"].removeprefix(self._prefix)
                    if "/" not in name and may_be_read(name):
                        found.append((name, int(item["Size"]), str(item["ETag"])))

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
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if self._store is None:
                self._store = _client()
            work(self._store)
        except (Boto3Error, BotoCoreError, ClientError, ValueError) as error:
            # ValueError: an endpoint that is no address. Whatever it is, a person mends it.
            _log.warning("%s can't be read: %s", self._address, error)
            return False
        return True


def _client() -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=_SECONDS,
        read_timeout=_SECONDS,
        retries={"max_attempts": _ATTEMPTS, "mode": "standard"},
        s3={"addressing_style": "path"},
    )
    return boto3.Session().client("s3", config=config)
