"""The terminal: what is printed is text as it is, whatever brackets a person's words hold."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def plain_console(**settings: Any) -> Console:
    """Return a console that reads no markup out of text and colours no words by itself."""
    return Console(markup=False, highlight=False, **settings)
