"""Which requests reach the application: not too many at once, and none sent by a foreign page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.common.refusal import Refusal
from serving.http.clients import OpenRequests, client_name

ANY_HOST = "*"
# Asked by address, by kubelet and Prometheus, however busy the server is.
# What a model takes, `/v2/models/NAME`, is for clients.
_WATCHED = re.compile(
    r"/metrics|/healthz|/v2/health/(live|ready)|/v1/models/[^/:]+|/v2/models/[^/:]+/ready"
)
_SITES = (b"same-origin", b"none", None)
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
        self._open = OpenRequests()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http" or (
            scope["method"] in _SAFE_METHODS and _WATCHED.fullmatch(scope["path"])
        ):
            await self._app(scope, receive, send)
            return
        # Of a header that is there twice the first counts.
        headers = dict(reversed(scope["headers"]))
        client = client_name((scope["client"] or ("",))[0])
        try:
            self._check(scope["method"], headers)
            self._open.add(client)
        except Refusal as refusal:
            await _refuse(send, refusal)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._open.remove(client)

    def _check(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if ANY_HOST not in self._hosts and _name(host) not in self._hosts:
            raise Refusal(
                "host", "This server does not go by the name that the request asks for.", 400
            )
        if _is_foreign(method, headers, host):
            raise Refusal(
                "foreign", "A page of another site may not send requests to this server.", 403
            )


def _is_foreign(method: str, headers: Mapping[bytes, bytes], host: str) -> bool:
    """Tell whether a browser says that it acts for a page of another site."""
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is None and origin is None:
        return False
    # Not into a frame.
    whole = headers.get(b"sec-fetch-dest", b"document") == b"document"
    navigates = headers.get(b"sec-fetch-mode") == b"navigate" and whole
    if method in _SAFE_METHODS and navigates:
        return False  # a link from elsewhere, which shows its reader nothing
    if site not in _SITES:
        return True
    if origin is None:
        return False
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower() != host
    except ValueError:
        return True


@lru_cache(maxsize=1024)
def _name(host: str) -> str:
    """Return the name in a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _refuse(send: Send, refusal: Refusal) -> None:
    content = orjson.dumps({"error": refusal.reason})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
