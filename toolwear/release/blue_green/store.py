"""Brings a package to the bucket from which KServe fetches it, under the package's own digest."""

from __future__ import annotations

from typing import Any

from toolwear.common import s3
from toolwear.common.digest import file_digest
from toolwear.common.errors import ToolwearError
from toolwear.model.package import DESCRIPTION_FILE, Package

BUCKET = "toolwear-models"
_SHA256 = "sha256"  # key of an object's metadata


def uri(digest: str) -> str:
    """Return where the package of this digest is."""
    return f"s3://{BUCKET}/{_prefix(digest)}"


def upload(package: Package) -> int:
    """Bring the package's files that are not there yet; return how many that were.

    The description goes last: without it nobody takes the folder for a package.

    Raises:
        ToolwearError: the store refuses or does not answer.
    """
    sent, faults = 0, s3.faults()
    try:
        store = s3.client()
        for name in (*package.contents, DESCRIPTION_FILE):
            path = package.folder / name
            key, sha = f"{_prefix(package.digest)}/{name}", file_digest(path)
            if _sha_of(store, key) != sha:
                store.upload_file(str(path), BUCKET, key, ExtraArgs={"Metadata": {_SHA256: sha}})
                sent += 1
    except faults as error:
        raise ToolwearError(
            f"The package cannot be brought to {uri(package.digest)} ({error}); see to the bucket, "
            "AWS_ENDPOINT_URL and the credentials, and whether the store has disk left: a full one "
            "does not answer."
        ) from None
    return sent


def _prefix(digest: str) -> str:
    return f"packages/{digest}"


def _sha_of(store: Any, key: str) -> str:
    from botocore.exceptions import ClientError

    try:
        return str(store.head_object(Bucket=BUCKET, Key=key)["Metadata"].get(_SHA256, ""))
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return ""
        raise
