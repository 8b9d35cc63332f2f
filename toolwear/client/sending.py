"""Requests as they are sent and repeated, and what becomes of responses, whoever sends them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx

from toolwear.client.cutting import Row
from toolwear.client.errors import (
    RequestRefusedError,
    ServiceDownError,
    ServiceError,
    ServiceFailedError,
)

_LATER = (
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.BAD_GATEWAY,  # of a proxy whose server is away
    httpx.codes.SERVICE_UNAVAILABLE,
    httpx.codes.GATEWAY_TIMEOUT,
)
UNANSWERED = (httpx.RequestError, httpx.InvalidURL, UnicodeError)  # a header may not be ASCII
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0  # seconds before a repetition


@dataclass(frozen=True)
class Send:
    """A request to be sent; its response, or one of `UNANSWERED`, is to be handed back.

    Attributes:
        method: of HTTP.
        url: where to.
        content: the body, JSON; or a file whose bytes it is, of any type.
        headers: beside the caller's own.
        seconds: how long the answer may take; None for the caller's own limit.
        rows: that it asks about, if they are telemetry: these go by gRPC where there is an address.
    """

    method: str
    url: str
    content: bytes | Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    rows: Sequence[Row] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Beside method, address and content, what httpx is to be told."""
        kind = "octet-stream" if isinstance(self.content, Path) else "json"
        typed = {} if self.content is None else {"content-type": f"application/{kind}"}
        given: dict[str, Any] = {"headers": {**typed, **self.headers}}
        return given if self.seconds is None else {**given, "timeout": self.seconds}


@dataclass(frozen=True)
class Pause:
    """Seconds to wait."""

    seconds: float


type Steps[T] = Generator[Send | Pause, httpx.Response | None, T]


def answered(send: Send, repetitions: int) -> Steps[dict[str, Any]]:
    """Return what is answered, repeating what the service cannot answer now.

    Args:
        send: the request.
        repetitions: how often at most.

    Raises:
        ServiceError: the one that fits, once it is not repeated.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            response = cast("httpx.Response", (yield send))
            if response.status_code == httpx.codes.OK:
                return read(response.json)
            error = _error(response)
        except UnicodeError as failure:
            raise RequestRefusedError(f"The request cannot be sent: {failure}.") from failure
        except UNANSWERED as failure:
            error = ServiceDownError(f"{send.url} does not answer: {failure}")
            error.__cause__ = failure
        wait = max(pause, error.retry_after or 0.0)
        if not (repetitions and isinstance(error, ServiceDownError) and wait < _LONGEST_PAUSE):
            raise error
        yield Pause(wait)
        repetitions, pause = repetitions - 1, 2 * pause


def read[T](what: Callable[[], T]) -> T:
    """Return what an answer says; one that says something else is the service's fault."""
    try:
        return what()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServiceFailedError(
            f"The answer is not one of the service: {error!r}.", httpx.codes.OK
        ) from error


def _error(response: httpx.Response) -> ServiceError:
    status = response.status_code
    try:
        sentence = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        sentence = f"The answer was {status} {response.reason_phrase}."
    try:
        retry_after = max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:  # none, or a date
        retry_after = None
    if status in _LATER:
        return ServiceDownError(sentence, status, retry_after)
    if status < httpx.codes.INTERNAL_SERVER_ERROR:
        return RequestRefusedError(sentence, status, retry_after)
    return ServiceFailedError(sentence, status, retry_after)
