"""What every page is made with: the templates, the system's parts, and what is shown on top."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from components.core import words
from components.core.home import Home
from serving.console.parts import Parts
from serving.console.session import Sessions

FOLDER = Path(__file__).parents[1]
_KEPT = 64
_T = TypeVar("_T")


@dataclass
class Kept:
    """The newest computed values by what they were made of; two that ask at once share one."""

    _values: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    _locks: dict[Hashable, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Return the value of `key`, made if it is not kept."""
        with self._lock:
            own = self._locks.setdefault(key, threading.Lock())
        with own:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    kept: _T = self._values[key]
                    return kept
            value = make()
            with self._lock:
                self._values[key] = value
                if len(self._values) > _KEPT:
                    gone, _ = self._values.popitem(last=False)
                    self._locks.pop(gone, None)
            return value


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
