"""An HTTP server of ours: one process, limits at the edge, an orderly end."""

from __future__ import annotations

import os
import signal
from typing import Any

import uvicorn

from serving.common.arguments import LOOPBACK
from serving.http.admission import ANY_HOST, Admission
from serving.http.linger import Linger
from serving.http.protocol import BoundedProtocol
from toolwear.common.request_limits import GRACE_SECONDS

HOSTS_VARIABLE = "ALLOWED_HOSTS"
PROXIES_VARIABLE = "FORWARDED_ALLOW_IPS"  # uvicorn's own name
_LOCAL = (LOOPBACK, "localhost", "::1")
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

    `$ALLOWED_HOSTS` names the hosts that requests may ask for, separated by commas; by default
    those of the loopback where that is the address, else all. `$FORWARDED_ALLOW_IPS` names the
    proxies whose word on who the client is counts; by default none.

    Args:
        app: ASGI application.
        host: address to listen at.
        port: port to listen at.
        access_log: one line per request.
        keep_alive_seconds: after which a connection without requests is closed.
    """
    proxies = os.environ.get(PROXIES_VARIABLE, "")
    config = uvicorn.Config(
        Linger(Admission(app, _hosts(host))),
        host=host,
        port=port,
        http=BoundedProtocol,
        ws="none",
        log_config=None,
        access_log=access_log,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    # uvicorn raises the signal that stopped it once more at its end: an orderly end is no failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    return uvicorn.Server(config)


def _hosts(host: str) -> tuple[str, ...]:
    named = tuple(name.strip() for name in os.environ.get(HOSTS_VARIABLE, "").split(",") if name)
    if named:
        return named
    return _LOCAL if host == LOOPBACK else (ANY_HOST,)
