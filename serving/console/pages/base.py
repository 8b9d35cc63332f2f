"""What every page is made with: the templates, the system's parts, and what is shown on top."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from serving.console.kept import Kept
from serving.console.parts import Parts
from serving.console.session import Sessions
from toolwear.common import words
from toolwear.workspace.home import Home

FOLDER = Path(__file__).parents[1]


@dataclass
class Console:
    """One console: what pages need."""

    home: Home
    parts: Parts
    sessions: Sessions
    kept: Kept = field(default_factory=Kept)

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page or a part of one."""
        return HTMLResponse(self.render(template, **values), status)

    def busy(self) -> HTMLResponse:
        """Return what is shown in place of a page that too many ask for."""
        return self.page("busy.html.j2", 503)

    def render(self, template: str, **values: Any) -> str:
        """Return a template's text."""
        return _TEMPLATES.get_template(template).render(**values)


def _percent(value: float | None, digits: int = 1) -> str:
    return "n/a" if value is None else f"{value:.{digits}%}"


def _sentence(text: str) -> str:
    """Return a sentence that came from elsewhere with exactly one full stop."""
    return f"{text.rstrip(' .')}." if text else ""


def _figure(value: float | None, digits: int = 4) -> str:
    if value is None:
        return "n/a"
    # Adding zero takes the sign from what rounds to zero.
    return f"{round(value, digits) + 0.0:,.{digits}f}" if isinstance(value, float) else f"{value:,}"


_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "percent": _percent,
    "figure": _figure,
    "sentence": _sentence,
    "cause": words.cause,
    "use": words.use,
    "warning": words.warning,
    "zip": zip,
}
