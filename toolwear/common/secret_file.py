"""A secret in a file of its own, made once, that nobody but its owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from toolwear.common.files import read_regular

_BYTES = 32
_FILE_BYTES = 4096


def kept(path: Path) -> str:
    """Return the text of the file; made at the first call, so that nobody sees half of it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(secrets.token_urlsafe(_BYTES))
                stream.flush()
                os.fsync(stream.fileno())
            os.link(partial, path)  # fails if another process was faster
        except FileExistsError:
            pass
        finally:
            partial.unlink()
    return read_regular(path, _FILE_BYTES).decode("ascii").strip()
