"""Content digests (SHA-256, hexadecimal) of files, folders and JSON values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in blocks."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            sha.update(block)
    return sha.hexdigest()


def combined_digest(parts: Mapping[str, str]) -> str:
    """Return one digest for named digests, independent of their order."""
    return json_digest(dict(parts))


def files_digest(root: Path, paths: Iterable[Path]) -> str:
    """Return one digest for files, by their names relative to `root` and their contents."""
    return combined_digest({p.relative_to(root).as_posix(): file_digest(p) for p in paths})


def tree_digest(root: Path) -> str:
    """Return one digest for all the files below `root`."""
    return files_digest(root, (p for p in root.rglob("*") if p.is_file()))


def json_digest(value: Any) -> str:
    """Return the digest of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
