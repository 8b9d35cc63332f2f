"""Which requests reach the application: not too many at once, and none sent by a foreign page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.clients import client_name
from toolwear.common.request_limits import CLIENT_REQUESTS, REQUESTS

ANY_HOST = "*"
# Asked by address, by kubelet and Prometheus, however busy the server is.
# What a model takes, `/v2/models/NAME`, is for clients.
_WATCHED = re.compile(
    r"/metrics|/healthz|/v2/health/(live|ready)|/v1/models/[^/:]+|/v2/models/[^/:]+/ready"
)
_SITES = ("same-origin", "none")
_SAFE_METHODS = ("GET", "HEAD")


class Admission:
    """Refuses what the application should not see.

    Args:
        app: what answers.
        hosts: names that a client may have asked for; `*` for all. Another site may have its own
            name point here, and would then read what it likes.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._open: Counter[str] = Counter()  # requests by client
        self._all = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _WATCHED.fullmatch(scope["path"]) and scope["method"] in _SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        client = client_name((scope["client"] or ("",))[0])
        refusal = self._refusal(scope["method"], Headers(scope=scope), client)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        self._open[client] += 1
        self._all += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._all -= 1
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]

    def _refusal(self, method: str, headers: Headers, client: str) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if ANY_HOST not in self._hosts and _name(host) not in self._hosts:
            return 400, "This server does not go by the name that the request asks for."
        if _is_foreign(method, headers, host):
            return 403, "A page of another site may not send requests to this server."
        if self._all >= REQUESTS:
            return 503, "The server has too many requests at the moment; try again."
        if self._open[client] >= CLIENT_REQUESTS:
            return 429, f"No client may have more than {CLIENT_REQUESTS} requests open at once."
        return None


def _is_foreign(method: str, headers: Headers, host: str) -> bool:
    """Tell whether a browser says that it acts for a page of another site."""
    # Not into a frame.
    whole = headers.get("sec-fetch-dest", "document") == "document"
    navigates = headers.get("sec-fetch-mode") == "navigate" and whole
    if method in _SAFE_METHODS and navigates:
        return False  # a link from elsewhere, which shows its reader nothing
    if headers.get("sec-fetch-site", "none") not in _SITES:
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True


def _name(host: str) -> str:
    """Return the name in a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _refuse(send: Send, status: int, sentence: str) -> None:
    content = orjson.dumps({"error": sentence})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        # The body is not read: it would be taken for the next request.
        (b"connection", b"close"),
    ]
    if status in (429, 503):
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
