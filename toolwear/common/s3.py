"""Buckets of an S3 store: their addresses, a client, what lies in one, and what goes wrong.

The endpoint and the credentials are boto3's: `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_SCHEME = "s3://"
_SECONDS = 10  # to connect, and between two parts of an answer
_ATTEMPTS = 3


@dataclass(frozen=True)
class Item:
    """An object right below a prefix: its name there, bytes, and the store's tag of its content."""

    name: str
    size: int
    tag: str


def is_bucket(address: str) -> bool:
    """Tell whether an address is one of a bucket rather than a folder."""
    return address.startswith(_SCHEME)


def place_in(address: str) -> tuple[str, str]:
    """Return the bucket of an address, and the prefix with its slash; empty: all of it."""
    bucket, _, prefix = address.removeprefix(_SCHEME).partition("/")
    return bucket, f"{prefix.strip('/')}/".lstrip("/")


def client() -> Any:
    """Return a client of boto3's.

    Raises:
        ValueError: the endpoint is no address.
        botocore.exceptions.BotoCoreError: its settings say something else that can't be.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=_SECONDS,
        read_timeout=_SECONDS,
        retries={"max_attempts": _ATTEMPTS, "mode": "standard"},
        s3={"addressing_style": "path"},
    )
    return boto3.Session().client("s3", config=config)


def faults() -> tuple[type[Exception], ...]:
    """Return what a client raises when a store refuses, does not answer or can't be spoken to."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    # ValueError: an endpoint that is no address, or a bucket without a name.
    return Boto3Error, BotoCoreError, ClientError, ValueError


def items(store: Any, bucket: str, prefix: str) -> Iterator[Item]:
    """Yield the objects right below a prefix, in the order of their names."""
    pages = store.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, Delimiter="/"
    )
    for page in pages:
        for found in page.get("Contents", []):
            name = found["Key"].removeprefix(prefix)
            if name and "/" not in name:
                yield Item(name, int(found["Size"]), str(found["ETag"]))
