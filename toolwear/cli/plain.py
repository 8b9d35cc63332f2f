"""The terminal: what is printed is text as it is, whatever brackets a person's words hold."""

from __future__ import annotations

import json
import re
from typing import Any

from rich.console import Console, RenderableType
from rich.status import Status
from rich.text import Text

from toolwear.common.jsonfile import clean

# All but line ends and tabs; also what turns the direction of writing.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class _Plain(Console):
    def render_str(self, text: str, **settings: Any) -> Text:
        """Return a text without what would control the terminal: it may be another's words."""
        return super().render_str(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text), **settings)

    def status(self, status: RenderableType, **settings: Any) -> Status:
        """Return a status whose text is as it is; rich would take it for markup by itself."""
        text = self.render_str(status) if isinstance(status, str) else status
        return super().status(text, **settings)


def plain_console(**settings: Any) -> Console:
    """Return a console that reads no markup out of text and colours no words by itself."""
    return _Plain(markup=False, highlight=False, **settings)


def print_json(value: Any) -> None:
    """Print a value for programs: JSON without NaN, as it is, whatever the terminal's width."""
    print(json.dumps(clean(value), indent=2, default=_text, allow_nan=False))


def _text(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)
