"""How much a server takes at once."""

from __future__ import annotations

BODY_BYTES = 1 << 20
ROWS = 1000  # about 10 ms of the event loop, health probes included
BODY_SECONDS = 10.0  # for a client to send its body
CONNECTIONS = 512
GRACE_SECONDS = 20  # for requests in flight when the server is told to stop
