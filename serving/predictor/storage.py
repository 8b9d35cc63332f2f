"""Fetches a model package from where `STORAGE_URI` says: a folder, `file://` or `s3://`.

On a cluster KServe's storage initializer does this before the container starts; here it is done
by the predictor itself. What was fetched is checked against its digest when it is loaded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from toolwear.common import s3
from toolwear.common.errors import ToolwearError
from toolwear.model.package import DESCRIPTION_FILE, FILES

STORAGE_URI = "STORAGE_URI"


@contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """Give the folder of the package at `uri`; what was downloaded is removed afterwards.

    Raises:
        ToolwearError: the address is of no known kind, or there is no package.
    """
    parts = urlsplit(uri)
    if parts.scheme in ("", "file") and not parts.netloc:
        yield Path(unquote(parts.path))
    elif parts.scheme == "s3" and parts.netloc and parts.path.strip("/"):
        with tempfile.TemporaryDirectory(prefix="toolwear-package-") as folder:
            # Named as the package, whose name is its digest.
            target = Path(folder) / parts.path.rstrip("/").rsplit("/", 1)[-1]
            target.mkdir()
            _download(parts.netloc, parts.path.strip("/"), target, uri)
            yield target
    else:
        raise ToolwearError(
            f"'{uri}' names no package; give a folder, file:///folder or s3://bucket/prefix."
        )


def _download(bucket: str, prefix: str, target: Path, uri: str) -> None:
    from botocore.exceptions import ClientError

    faults = s3.faults()
    try:
        client = s3.client()
        for name in (DESCRIPTION_FILE, *FILES):
            client.download_file(bucket, f"{prefix}/{name}", str(target / name))
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise ToolwearError(
            f"{uri} can't be read (the store says {code}); see that the package is there and "
            "that the credentials may read it."
        ) from None
    except faults as error:
        raise ToolwearError(
            f"The store of {uri} can't be reached ({type(error).__name__}); see to "
            "AWS_ENDPOINT_URL and the credentials."
        ) from None
