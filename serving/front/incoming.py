"""Requests of clients, read whole: each may have to be asked twice."""

from __future__ import annotations

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
    path: str = request.scope["raw_path"].decode("ascii")  # as it came: nothing is decoded twice
    if request.url.query:
        path += f"?{request.url.query}"
    headers = passed_on(request.headers)
    client = request.client.host if request.client else ""
    return Asked(request.method, path, headers, await read_any(request), role, judged, client)
