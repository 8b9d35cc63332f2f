"""Recordings in a bucket, brought to this disk, and verdicts, sent to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolwear.common import s3
from toolwear.common.errors import ToolwearError
from toolwear.dataset.sources import may_be_read


def bring(address: str, folder: Path, tell: Callable[[str], None]) -> None:
    """Copy the recordings right below a prefix, and what says how to read them.

    Args:
        address: s3://bucket/prefix.
        folder: for the copies.
        tell: is told the name of each before it is copied.

    Raises:
        ToolwearError: the store refuses or does not answer.
    """
    bucket, prefix = s3.place_in(address)
    with _store(address, "read") as store:
        for item in s3.items(store, bucket, prefix):
            if not may_be_read(item.name):
                continue
            tell(item.name)
            store.download_file(bucket, prefix + item.name, str(folder / item.name))


def send(file: Path, address: str) -> None:
    """Copy a file right below a prefix, whole or not at all; what has its name is replaced.

    Args:
        file: to copy.
        address: s3://bucket/prefix.

    Raises:
        ToolwearError: the store refuses or does not answer.
    """
    bucket, prefix = s3.place_in(address)
    with _store(address, "written to") as store:
        store.upload_file(str(file), bucket, prefix + file.name)


@contextmanager
def _store(address: str, done: str) -> Iterator[Any]:
    """Give a client, whose faults become a sentence on an address that can't be `done`."""
    faults = s3.faults()
    try:
        yield s3.client()
    except faults as error:
        raise ToolwearError(
            f"{address} can't be {done} ({error}); see to the address, AWS_ENDPOINT_URL and the "
            "credentials."
        ) from None
