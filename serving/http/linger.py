"""Lets refusals arrive: what a client still sends of a body that nobody reads is read and dropped.

A connection that is closed while the client is sending is reset, and the answer lost with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.common.body import SMALL, release
from toolwear.common.request_limits import BODY_SECONDS, DROPPED_BYTES

_OF_BODIES = {b"content-length", b"transfer-encoding"}
_CLOSE = (b"connection", b"close")


class Linger:
    """Wraps an application of any server of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = dict(scope.get("headers", ()))
        if scope["type"] != "http" or _is_harmless(headers, scope["http_version"]):
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BODY_SECONDS
        begun = ended = False

        async def received() -> Message:
            nonlocal begun, ended
            begun = True
            message = await receive()
            ended = _is_last(message)
            return message

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and not ended:
                # Who waits to be asked for the body sends none if it is not.
                waits = not begun and b"expect" in headers
                if waits or not await _dropped(receive, deadline - loop.time()):
                    message = {**message, "headers": [*message["headers"], _CLOSE]}
            await send(message)

        try:
            await self._app(scope, received, sent)
        finally:
            release(scope)


def _is_harmless(headers: Mapping[bytes, bytes], version: str) -> bool:
    """Tell whether the body may be left unread: it is small, and taken and not counted anyway."""
    if _OF_BODIES.isdisjoint(headers):
        return True
    size = headers.get(b"content-length", b"")
    return (
        size.isdigit()
        and int(size) <= SMALL
        and b"transfer-encoding" not in headers
        and version == "1.1"
        and b"expect" not in headers
        and headers.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    )


def _is_last(message: Message) -> bool:
    return message["type"] != "http.request" or not message.get("more_body", False)


async def _dropped(receive: Receive, seconds: float) -> bool:
    """Read the rest of a body; return whether it ended in time and within the limit."""
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while size <= DROPPED_BYTES:
                message: dict[str, Any] = dict(await receive())
                if _is_last(message):
                    return True
                size += len(message.get("body", b""))
    except TimeoutError:
        pass  # the connection is closed: it has had its time
    return False
