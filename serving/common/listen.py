"""An HTTP server of ours: one process, no header that tells what it is, an orderly end."""

from __future__ import annotations

import signal
from typing import Any

import uvicorn

from serving.common.limits import CONNECTIONS, GRACE_SECONDS

_KEEP_ALIVE_SECONDS = 5


def http_server(
    app: Any,
    host: str,
    port: int,
    *,
    access_log: bool = False,
    keep_alive_seconds: int = _KEEP_ALIVE_SECONDS,
) -> uvicorn.Server:
    """Return the server of an application; its `run` ends at SIGTERM or SIGINT.

    Args:
        app: ASGI application.
        host: address to listen at.
        port: port to listen at.
        access_log: one line per request.
        keep_alive_seconds: after which a connection without requests is closed.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=access_log,
        server_header=False,
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
        limit_concurrency=CONNECTIONS,
    )
    # uvicorn raises the signal that stopped it once more at its end: an orderly end is no failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    return uvicorn.Server(config)
