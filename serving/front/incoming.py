"""Requests of clients, read whole where they may have to be asked twice."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request

from serving.common.body import read_any
from serving.front.tracks import Asked, passed_on


async def asked_of(request: Request, role: str, judged: bool = False) -> Asked:
    """Return a request.

    Args:
        request: of a client.
        role: who answers it, TRANSFORMER or EXPLAINER.
        judged: whether a candidate is judged by it.

    Raises:
        Refusal: its body is encoded, too long, or did not arrive.
    """
    return _asked(request, role, await read_any(request), judged)


def passing(request: Request, role: str) -> Asked:
    """Return a request whose body is passed on as it comes: that of who answers bounds it."""
    return _asked(request, role, request.stream(), judged=False)


def _asked(request: Request, role: str, body: bytes | AsyncIterator[bytes], judged: bool) -> Asked:
    path: str = request.scope["raw_path"].decode("ascii")  # as it came: nothing is decoded twice
    if request.url.query:
        path += f"?{request.url.query}"
    headers = passed_on(request.headers)
    client = request.client.host if request.client else ""
    return Asked(request.method, path, headers, body, role, judged, client)
