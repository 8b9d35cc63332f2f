"""What attackers send: raw requests, and many clients at once."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx

HTTP = httpx.Client(timeout=90, trust_env=False)  # one for all: each makes a TLS context


def connect(url: str, seconds: float = 60.0) -> socket.socket:
    """Return a connection to a server."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return socket.create_connection((parts.hostname, parts.port), timeout=seconds)


def rest(client: socket.socket) -> bytes:
    """Return what is said until the server hangs up."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def stalled(url: str, path: str, content_type: str, sent: bytes, length: int) -> socket.socket:
    """Return a connection with a request whose body has stopped in the middle."""
    client = connect(url)
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {content_type}\r\n"
    with contextlib.suppress(ConnectionError):
        client.sendall(f"{head}content-length: {length}\r\n\r\n".encode() + sent)
    return client


def at_once(clients: int, turns: int, ask: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """Return the answers of many clients, each of which asks again and again."""

    def own(_number: int) -> list[httpx.Response]:
        return [ask() for _ in range(turns)]

    with ThreadPoolExecutor(clients) as pool:
        return [answer for answers in pool.map(own, range(clients)) for answer in answers]
