"""Whose doing a request over HTTP is: the token says that somebody may, and `by` who it is."""

from __future__ import annotations

from typing import Any

from serving.common.refusal import Refusal
from toolwear.common.errors import ToolwearError
from toolwear.common.person import LENGTH, checked


def by_of(body: dict[str, Any]) -> str:
    """Return the name of the person, empty if none is given.

    Raises:
        Refusal: it is no name.
    """
    try:
        return checked(body.get("by", ""))
    except (ToolwearError, AttributeError):
        raise Refusal(
            "request", f'"by" has to be a name: one line of at most {LENGTH} characters.'
        ) from None


def signed(text: str, by: str) -> str:
    """Return a text with the name of who says it."""
    return f"{text} ({by})".strip() if by else text
