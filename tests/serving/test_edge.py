"""What a client can't do to a server's connections, tried on a real server by raw sockets."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.ports import free_port
from toolwear.common.fingerprint import ROOT
from toolwear.common.request_limits import (
    BODY_PAUSE_SECONDS,
    CLIENT_REQUESTS,
    CONNECTIONS,
    HEAD_BYTES,
    HEAD_SECONDS,
    HEADERS,
    URL_BYTES,
)

# An application that tells how long a body was, and can take its time.
_SERVER = """
import asyncio, sys
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from serving.http.server import http_server

async def length(request):
    return PlainTextResponse(str(len(await request.body())))

async def slow(request):
    await asyncio.sleep(3)
    return PlainTextResponse("done")

async def client(request):
    return PlainTextResponse(request.client.host)

routes = [
    Route("/length", length, methods=["POST"]),
    Route("/slow", slow),
    Route("/client", client),
    Route("/healthz", client),
]
http_server(Starlette(routes=routes), "127.0.0.1", int(sys.argv[1])).run()
"""


class Server:
    """A server in a process of its own."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.process = psutil.Process(process.pid)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def says(self, request: bytes) -> bytes:
        """Return all that is answered until the server hangs up."""
        with self.connect() as client:
            with contextlib.suppress(ConnectionError):
                client.sendall(request)
            return rest(client)


def rest(client: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def running(**variables: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-c", _SERVER, str(port)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": str(Path(sys.executable).parent), **variables}
    process = subprocess.Popen(command, env=environment)
    try:
        server = Server(port, process)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(server.url + "/healthz")
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


def post(body: bytes, *, length: int | None = None, extra: bytes = b"") -> bytes:
    size = len(body) if length is None else length
    return b"POST /length HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n%b\r\n%b" % (
        size,
        extra,
        body,
    )


def test_a_header_without_end_is_refused_and_slows_nobody(server: Server) -> None:
    before = server.process.memory_info().rss
    attackers = [server.connect() for _ in range(8)]
    for attacker in attackers:
        with contextlib.suppress(ConnectionError):
            attacker.sendall(b"GET /client HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ")
            attacker.sendall(b"a" * (4 << 20))
    started = time.monotonic()
    assert httpx.get(server.url + "/client").status_code == 200
    assert time.monotonic() - started < 1
    for attacker in attackers:
        with attacker:
            answer = rest(attacker)
            assert not answer or answer.startswith(b"HTTP/1.1 431 ")
    assert server.process.memory_info().rss - before < 50 << 20


def test_the_refusal_of_a_long_head_arrives(server: Server) -> None:
    head = b"GET /client HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"a" * HEAD_BYTES
    assert b"431" in server.says(head[: HEAD_BYTES + 1])
    assert b"414" in server.says(b"GET /client?" + b"a" * (URL_BYTES + 1))
    many = b"".join(b"x-%d: 1\r\n" % number for number in range(7000))
    assert b"431" in server.says((b"GET /client HTTP/1.1\r\n" + many)[: HEAD_BYTES + 1])
    few = b"".join(b"x-%d: 1\r\n" % number for number in range(HEADERS + 1))
    assert b"431" in server.says(b"GET /client HTTP/1.1\r\n" + few + b"\r\n")


def test_the_body_of_a_refused_request_is_not_taken_for_the_next_one(server: Server) -> None:
    foreign = b"origin: http://attacker.example\r\n"
    with server.connect() as client:
        client.sendall(post(b"", length=4, extra=foreign))
        assert client.recv(65536).startswith(b"HTTP/1.1 403 ")
        # The four bytes look like the beginning of a request, and are the body of the first.
        client.sendall(b"GET " + post(b"abcdef", extra=b"connection: close\r\n"))
        assert rest(client).endswith(b"\r\n\r\n6")


def test_a_head_and_a_url_up_to_the_limit_are_taken(server: Server) -> None:
    path = "/client?" + "a" * (URL_BYTES - len("/client?"))
    headers = {"x": "a" * (HEAD_BYTES - URL_BYTES - 500), "connection": "close"}
    assert httpx.get(server.url + path, headers=headers).status_code == 200


def test_bodies_do_not_count_as_heads(server: Server) -> None:
    with server.connect() as client:
        # Each request's head arrives together with the end of the body before it.
        large = post(b"a" * (HEAD_BYTES - 100))
        stream = large * 5 + post(b"", extra=b"connection: close\r\n")
        for start in range(0, len(stream), 50_000):
            client.sendall(stream[start : start + 50_000])
            time.sleep(0.01)
        answer = rest(client)
    assert answer.count(b"HTTP/1.1 200 OK") == 6, answer[-300:]


def test_silence_ends_the_connection_before_and_within_a_head(server: Server) -> None:
    started = time.monotonic()
    with server.connect() as silent, server.connect() as dripping:
        dripping.sendall(b"GET /client HTTP/1.1\r\n")
        for _ in range(int(HEAD_SECONDS) + 3):
            with contextlib.suppress(ConnectionError):
                dripping.sendall(b"x: 1\r\n")
            time.sleep(1)
        assert b"408" in rest(silent)
        assert not (said := rest(dripping)) or b"408" in said
    assert time.monotonic() - started < 2 * HEAD_SECONDS


def test_a_kept_connection_may_be_idle_and_then_has_its_time_anew(server: Server) -> None:
    with server.connect() as client:
        client.sendall(post(b"abc"))
        time.sleep(2)
        client.sendall(post(b"abcd", extra=b"connection: close\r\n"))
        assert rest(client).count(b"HTTP/1.1 200 OK") == 2


def test_a_body_that_stops_or_drips_is_given_up(server: Server) -> None:
    started = time.monotonic()
    assert b"408" in server.says(post(b"a" * 1000, length=2000))
    assert time.monotonic() - started < BODY_PAUSE_SECONDS + 3
    with server.connect() as client:
        client.sendall(post(b"", length=100))
        for _ in range(int(BODY_PAUSE_SECONDS) + 2):
            with contextlib.suppress(ConnectionError):
                client.sendall(b"a")
            time.sleep(1)
        assert not (said := rest(client)) or b"408" in said


def test_silent_connections_give_way_to_a_client_that_asks(server: Server) -> None:
    silent = [server.connect() for _ in range(CONNECTIONS + 20)]
    try:
        answers = [httpx.get(server.url + path) for path in ("/healthz", "/client")]
        assert [answer.status_code for answer in answers] == [200, 200]
    finally:
        for one in silent:
            one.close()


def test_no_client_may_take_all_and_health_is_always_told(server: Server) -> None:
    request = b"GET /slow HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    busy = [server.connect() for _ in range(CLIENT_REQUESTS)]
    try:
        for one in busy:
            one.sendall(request)
        time.sleep(0.5)
        refused = httpx.get(server.url + "/client")
        assert refused.status_code == 429
        assert refused.headers["retry-after"]
        assert httpx.get(server.url + "/healthz").status_code == 200
        assert all(b"200 OK" in one.recv(65536) for one in busy)
    finally:
        for one in busy:
            one.close()


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:80", "127.0.0.1.nip", "["])
def test_another_name_is_refused_but_for_health(server: Server, host: str) -> None:
    answer = httpx.get(server.url + "/client", headers={"host": host})
    assert (answer.status_code, "name" in answer.json()["error"]) == (400, True)
    assert httpx.get(server.url + "/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:80"])
def test_the_loopback_has_several_names(server: Server, host: str) -> None:
    assert httpx.get(server.url + "/client", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://attacker.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_a_page_of_another_site_may_not_post(server: Server, headers: dict[str, str]) -> None:
    answer = httpx.post(server.url + "/length", content=b"a", headers=headers)
    assert (answer.status_code, "site" in answer.json()["error"]) == (403, True)


def test_what_a_model_takes_is_told_to_no_other_name(server: Server) -> None:
    for path, status in (
        ("/v1/models/toolwear", 404),  # asked by kubelet, and not there on this server
        ("/v2/models/toolwear/ready", 404),
        ("/v2/models/toolwear", 400),
    ):
        answer = httpx.get(server.url + path, headers={"host": "attacker.example"})
        assert answer.status_code == status, path


def test_a_page_of_another_site_frames_nothing(server: Server) -> None:
    frame = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    for kind, status in (("iframe", 403), ("embed", 403), ("document", 200)):
        headers = {**frame, "sec-fetch-dest": kind}
        assert httpx.get(server.url + "/client", headers=headers).status_code == status


def test_a_link_and_a_page_of_ours_may(server: Server) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert httpx.get(server.url + "/client", headers=link).status_code == 200
    ours = {"origin": server.url, "sec-fetch-site": "same-origin"}
    assert httpx.post(server.url + "/length", content=b"a", headers=ours).text == "1"


def test_only_a_trusted_proxy_says_who_the_client_is(server: Server) -> None:
    forwarded = {"x-forwarded-for": "203.0.113.7"}
    assert httpx.get(server.url + "/client", headers=forwarded).text == "127.0.0.1"
    with running(FORWARDED_ALLOW_IPS="127.0.0.1", ALLOWED_HOSTS="mill.example") as behind:
        named = {**forwarded, "host": "mill.example"}
        assert httpx.get(behind.url + "/client", headers=named).text == "203.0.113.7"
        assert httpx.get(behind.url + "/client", headers=forwarded).status_code == 400
