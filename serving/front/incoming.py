"""Requests of clients, read whole where they may have to be asked twice."""

from __future__ import annotations

from dataclasses import replace

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
    return replace(_asked(request, role), body=await read_any(request), judged=judged)


def passing(request: Request, role: str) -> Asked:
    """Return a request whose body is passed on as it comes: who answers bounds it."""
    return replace(_asked(request, role), passing=request.stream())


def _asked(request: Request, role: str) -> Asked:
    path: str = request.scope["raw_path"].decode("ascii")  # as it came: nothing is decoded twice
    if request.url.query:
        path += f"?{request.url.query}"
    client = request.client.host if request.client else ""
    headers = passed_on(request.headers)
    return Asked(request.method, path, headers, b"", role, client=client)
