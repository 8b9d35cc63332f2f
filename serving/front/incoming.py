"""Requests of clients, read whole: each may have to be asked twice."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from serving.common.limits import BODY_BYTES, BODY_SECONDS
from serving.front.tracks import Asked, passed_on


class FaultyError(Exception):
    """A request that is not passed on."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


async def asked_of(request: Request, role: str, judged: bool = False) -> Asked:
    """Return a request.

    Args:
        request: of a client.
        role: who answers it, TRANSFORMER or EXPLAINER.
        judged: whether a candidate is judged by it.

    Raises:
        FaultyError: its body is too long, or did not arrive.
    """
    path: str = request.scope["raw_path"].decode("ascii")  # as it came: nothing is decoded twice
    if request.url.query:
        path += f"?{request.url.query}"
    headers = passed_on(request.headers)
    client = request.client.host if request.client else ""
    return Asked(request.method, path, headers, await _body(request), role, judged, client)


async def _body(request: Request) -> bytes:
    if int(request.headers.get("content-length", "0")) > BODY_BYTES:  # the parser takes digits only
        raise FaultyError(413, f"The body is longer than {BODY_BYTES} bytes.")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > BODY_BYTES:
                    raise FaultyError(413, f"The body is longer than {BODY_BYTES} bytes.")
                parts.append(part)
    except TimeoutError:
        raise FaultyError(408, "The body did not arrive in time.") from None
    except ClientDisconnect:
        raise FaultyError(400, "The body did not arrive.") from None
    return b"".join(parts)
