"""Further endpoints: those that write, for those with a token, and those that take a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from serving.http.gate import Gate
from toolwear.workspace.tokens import Scope

Work = Callable[[dict[str, Any], str], Awaitable[Any]]


@dataclass(frozen=True)
class Written:
    """A POST endpoint that takes and gives a JSON object, for those with a token.

    Attributes:
        name: for the metrics.
        work: is given the object and the name of the token.
        gate: knows the tokens.
        may: what a token has to be for.
    """

    name: str
    work: Work
    gate: Gate
    may: Scope


@dataclass(frozen=True)
class Sent:
    """A POST endpoint of a model that takes a file as its body.

    Attributes:
        name: for the metrics.
        work: is given the request, whose body nobody has read; returns a JSON object and headers.
    """

    name: str
    work: Callable[[Request], Awaitable[tuple[dict[str, Any], dict[str, str]]]]
