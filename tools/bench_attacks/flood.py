"""The attackers, in a process of their own: `python -m tools.bench_attacks.flood NAME URLS TOKEN`.

They go on until they are ended. URLS is a JSON object of the servers' addresses, TOKEN may label.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx

from serving.console.recordings import MOST_BYTES
from tests.serving.attacks import connect, rest, stalled
from tests.serving.conftest import MODEL
from tests.serving.half_calls import INFER, HalfCalls
from toolwear.common.request_limits import BODY_BYTES

_HTTP = httpx.Client(timeout=90, trust_env=False, limits=httpx.Limits(max_connections=300))
_FORM = "multipart/form-data; boundary=b"
_BEGUN = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
_PREDICT = f"/v1/models/{MODEL}:predict"


def forever(clients: int, ask: Callable[[], object], pause: float = 0.0) -> None:
    """Let many clients ask, again and again."""

    def own(_number: int) -> None:
        while True:
            # A server that hangs up on them is what they are there for.
            with contextlib.suppress(OSError, httpx.TransportError):
                ask()
            time.sleep(pause)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(own, range(clients)))


def attacks(urls: Mapping[str, str], token: str) -> dict[str, Callable[[], None]]:
    """Return the attacks by name."""
    transformer, console = urls["transformer"], urls["console"]
    own = {"authorization": f"Bearer {token}"}

    def endless(head: bytes) -> None:
        with connect(transformer) as client:
            while True:
                client.sendall(head)
                head = b"a" * 65536

    def silent(sent: bytes) -> None:
        with connect(transformer) as client:
            client.sendall(sent)
            rest(client)

    def upload() -> None:
        begun = _BEGUN + b"a" * (MOST_BYTES - 1_000_000)
        with stalled(console, "/", _FORM, begun, MOST_BYTES) as client:
            rest(client)

    def label(headers: Mapping[str, str]) -> None:
        body = {"receipt": uuid.uuid4().hex, "worn": [True]}
        _HTTP.post(f"{transformer}/v1/labels", json=body, headers=headers)

    def explain() -> None:
        body = {"instances": [{"run_id": "07"}], "method": "anchor", "seed": 1}
        _HTTP.post(f"{urls['explainer']}/v1/models/{MODEL}:explain", json=body)

    def half_calls() -> None:
        calls = HalfCalls(int(urls["predictor_grpc"].rpartition(":")[2]), INFER, 100, BODY_BYTES)
        with contextlib.closing(calls):
            calls.send(10)

    head = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: "
    json_type = "application/json"
    return {
        "one endless header": lambda: forever(1, lambda: endless(head)),
        "a URL without end": lambda: forever(1, lambda: endless(b"GET /")),
        "200 silent connections": lambda: forever(200, lambda: silent(b"")),
        "200 heads that stop": lambda: forever(200, lambda: silent(head)),
        "100 bodies that stop": lambda: forever(
            100, lambda: rest(stalled(transformer, _PREDICT, json_type, b"{", 4000))
        ),
        "400 calls of gRPC that stop": lambda: forever(4, half_calls),
        "60 uploads that stop": lambda: forever(60, upload),
        "requests of another site": lambda: forever(
            8,
            lambda: _HTTP.post(transformer + _PREDICT, headers={"origin": "http://a.example"}),
            0.01,
        ),
        "tables that there are not": lambda: forever(
            32,
            lambda: _HTTP.get(f"{console}/parts/distributions?of={uuid.uuid4()}"),
            0.01,
        ),
        "wrong tokens": lambda: forever(
            32, lambda: label({"authorization": f"Bearer {uuid.uuid4()}"}), 0.01
        ),
        "labels of no answer": lambda: forever(32, lambda: label(own), 0.05),
        "anchors": lambda: forever(32, explain, 0.05),
    }


if __name__ == "__main__":
    attacks(json.loads(sys.argv[2]), sys.argv[3])[sys.argv[1]]()
