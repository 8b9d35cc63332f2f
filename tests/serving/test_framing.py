"""What a client may put around its requests: headers, what chunks are made of, one more request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
import pytest

from tests.serving.test_edge import Server, post, rest, running
from toolwear.common.request_limits import HEAD_BYTES, HEADERS, PIPELINED

CHUNKED = (
    b"POST /length HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n"
    b"connection: close\r\n\r\n"
)
GET = b"GET /client HTTP/1.1\r\nhost: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


def sent(server: Server, start: bytes, more: bytes, most: int) -> int:
    """Return how much a server takes of what follows a start, up to so much."""
    with server.connect() as client:
        client.sendall(start)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while taken < most:
                client.sendall(more)
                taken += len(more)
        return taken


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"0\r\nx: ", b"a" * HEAD_BYTES),
        (b"0\r\n", b"x: 1\r\n" * 10_000),
        (b"1;x=", b"a" * HEAD_BYTES),
        (b"", b"0" * HEAD_BYTES),
        (b"", b"1\r\na\r\n" * 10_000),
    ],
    ids=["trailer", "trailers", "extension", "length", "tiny chunks"],
)
def test_a_body_that_is_hardly_content_is_cut_off(
    server: Server, start: bytes, more: bytes
) -> None:
    # What the kernel takes of it besides is in its buffers.
    assert sent(server, CHUNKED + start, more, 64 << 20) < 32 << 20
    refused = server.says(CHUNKED + start + more * 3)
    assert not refused or b"that are not its content" in refused


def test_usual_chunks_are_taken_and_what_follows_the_last_is_no_header(server: Server) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (size, b"a" * size) for size in [40, 8, 4000] * 2000)
    answer = server.says(CHUNKED + body + b"0\r\norigin: https://attacker.example\r\n\r\n")
    assert answer.endswith(str(4048 * 2000).encode()), answer[-200:]


def test_a_request_has_so_many_headers_and_no_more(server: Server) -> None:
    headers = b"".join(b"x-%d: 1\r\n" % number for number in range(HEADERS - 2))
    close = b"connection: close\r\n"
    assert b"200 OK" in server.says(GET + headers + close + b"\r\n")
    assert b"431" in server.says(GET + headers + b"x: 1\r\n" + close + b"\r\n")[:20]


def test_no_more_than_some_requests_wait_on_a_connection(server: Server) -> None:
    slow = b"GET /slow HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    before = server.process.memory_info().rss
    for _ in range(20):
        with server.connect() as client:
            with contextlib.suppress(ConnectionError):
                client.sendall(slow + (GET + b"\r\n") * 5000)
            assert rest(client) == b""
    assert server.process.memory_info().rss - before < 20 << 20
    some = post(b"a") * (PIPELINED - 1) + post(b"a", extra=b"connection: close\r\n")
    assert server.says(some).count(b"200 OK") == PIPELINED


def test_an_origin_that_is_none_is_foreign(server: Server) -> None:
    answer = httpx.get(server.url + "/client", headers={"origin": "http://["})
    assert answer.status_code == 403
