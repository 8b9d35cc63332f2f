"""The load generator, a process of its own: a bounded number of requests over kept connections.

`python -m tools.bench_serving.load` takes {"host", "port", "path", "bodies", "clients",
"requests"} as JSON on its input and prints {"seconds", "latencies_ms"}. Only the standard library
is used, so that it starts fast and costs little beside the server.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

TIMEOUT_SECONDS = 60.0
_OK = 200
_JSON = {"content-type": "application/json"}


def generate(order: dict[str, Any]) -> dict[str, Any]:
    """Send the requests and return how long each took, ms, and all together, s.

    Raises:
        RuntimeError: an answer was not 200.
    """
    clients = order["clients"]
    each = order["requests"] // clients
    bodies = [body.encode() for body in order["bodies"]]
    ready = threading.Barrier(clients + 1)

    def client(number: int) -> list[float]:
        connection = http.client.HTTPConnection(
            order["host"], order["port"], timeout=TIMEOUT_SECONDS
        )
        try:
            connection.connect()
            ready.wait(TIMEOUT_SECONDS)
            return [
                _ask(connection, order["path"], bodies[(number + turn) % len(bodies)])
                for turn in range(each)
            ]
        finally:
            connection.close()

    with ThreadPoolExecutor(clients) as pool:
        waiting = [pool.submit(client, number) for number in range(clients)]
        ready.wait(TIMEOUT_SECONDS)
        started = time.perf_counter()
        latencies = [value for future in waiting for value in future.result()]
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "latencies_ms": latencies}


def _ask(connection: http.client.HTTPConnection, path: str, body: bytes) -> float:
    started = time.perf_counter()
    connection.request("POST", path, body, _JSON)
    response = connection.getresponse()
    answer = response.read()
    milliseconds = 1000 * (time.perf_counter() - started)
    if response.status != _OK:
        raise RuntimeError(f"{path} answered {response.status}: {answer[:200]!r}")
    return milliseconds


if __name__ == "__main__":
    json.dump(generate(json.load(sys.stdin)), sys.stdout)
