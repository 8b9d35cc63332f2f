"""The name of a run: its folder in the home, and what a trigger knows it by before it starts."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

_NAME = re.compile(r"2\d{7}T\d{6}Z-[0-9a-f]{6}")


def new_run_name() -> str:
    """Return a name that no other run has, in the order of time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def is_run_name(text: str) -> bool:
    """Tell whether a text has the form of such a name."""
    return _NAME.fullmatch(text) is not None
