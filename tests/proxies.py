"""A proxy that remembers what it was asked, and the variables that name one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROXIES = tuple(
    name for kind in ("http_proxy", "https_proxy", "all_proxy") for name in (kind, kind.upper())
)


class Recorder(BaseHTTPRequestHandler):
    """Answers everything and remembers what it was asked."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = b'{"asked": true}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def recorder() -> Iterator[tuple[str, list[str]]]:
    more = dict.fromkeys(("do_POST", "do_CONNECT"), Recorder.do_GET)
    asked: list[str] = []
    handler = type("Handler", (Recorder,), {"asked": asked, **more})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
