"""Recordings in a bucket, brought to this disk, and verdicts, sent to one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.dataset.sources import may_be_read
from toolwear.run.scoring import place_in

_SECONDS, _ATTEMPTS = 10, 3


def bring(address: str, folder: Path) -> None:
    """Copy the recordings right below a prefix, and what says how to read them.

    The endpoint and the credentials are boto3's: `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and so on.

    Args:
        address: s3://bucket/prefix.
        folder: for the copies.

    Raises:
        ToolwearError: the store refuses or does not answer.
    """
    bucket, prefix = place_in(address)
    with _store(address, "read") as store:
        for name in _names(store, bucket, prefix):
            report(f"{address}: {name}")
            store.download_file(bucket, prefix + name, str(folder / name))


def send(file: Path, address: str) -> None:
    """Copy a file right below a prefix, whole or not at all; what has its name is replaced.

    Args:
        file: to copy.
        address: s3://bucket/prefix.

    Raises:
        ToolwearError: the store refuses or does not answer.
    """
    bucket, prefix = place_in(address)
    with _store(address, "written to") as store:
        store.upload_file(str(file), bucket, prefix + file.name)


@contextmanager
def _store(address: str, done: str) -> Iterator[Any]:
    """Give a client, whose faults become a sentence on an address that can't be `done`."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield _client()
    except (Boto3Error, BotoCoreError, ClientError, ValueError) as error:
        # ValueError: an endpoint that is no address, or a bucket without a name.
        raise ToolwearError(
            f"{address} can't be {done} ({error}); see to the address, AWS_ENDPOINT_URL and the "
            "credentials."
        ) from None


def _names(store: Any, bucket: str, prefix: str) -> Iterator[str]:
    pages = store.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, Delimiter="/"
    )
    for page in pages:
        for item in page.get("Contents", []):
            name = item["Key"].removeprefix(prefix)
            if "/" not in name and may_be_read(name):
                yield name


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
