"""The operator's token: who holds it may start runs, promote, refuse and roll back."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from components.core.errors import ToolwearError
from components.core.files import read_regular
from components.core.home import Home

TOKEN_VARIABLE = "TOOLWEAR_OPERATOR_TOKEN"  # noqa: S105 - a name, not a token
_BYTES = 32
_FILE_BYTES = 4096
_MINIMUM_LENGTH = 16


def operator_token(home: Home) -> str:
    """Return the token from $TOOLWEAR_OPERATOR_TOKEN, else the home's, made at the first call.

    Raises:
        ToolwearError: the token is too short to keep anyone out.
    """
    token = os.environ.get(TOKEN_VARIABLE) or _kept(home.operator_token)
    if len(token) < _MINIMUM_LENGTH:
        raise ToolwearError(
            f"The operator's token has {len(token)} characters; set {TOKEN_VARIABLE} to at least "
            f"{_MINIMUM_LENGTH} random ones."
        )
    return token


def fits(token: str, given: str | None) -> bool:
    """Tell whether an `Authorization` header carries the token; takes as long if it does not."""
    scheme, _, value = (given or "").partition(" ")
    same = hmac.compare_digest(value.strip().encode(), token.encode())
    return same and scheme.lower() == "bearer"


def _kept(path: Path) -> str:
    """Read the file, or write it so that only its owner can read it and nobody sees half of it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_urlsafe(_BYTES))
        try:
            os.link(partial, path)  # fails if another process was faster
        except FileExistsError:
            pass
        finally:
            partial.unlink()
    return read_regular(path, _FILE_BYTES).decode("ascii").strip()
