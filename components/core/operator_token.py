"""The operator's token: who holds it may start runs, promote, refuse and roll back."""

from __future__ import annotations

import hmac
import os

from components.core.errors import ToolwearError
from components.core.home import Home
from components.core.secret_file import kept

TOKEN_VARIABLE = "TOOLWEAR_OPERATOR_TOKEN"  # noqa: S105 - a name, not a token
_MINIMUM_LENGTH = 16


def operator_token(home: Home) -> str:
    """Return the token from $TOOLWEAR_OPERATOR_TOKEN, else the home's, made at the first call.

    Raises:
        ToolwearError: the token is too short to keep anyone out.
    """
    token = os.environ.get(TOKEN_VARIABLE) or kept(home.operator_token)
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
