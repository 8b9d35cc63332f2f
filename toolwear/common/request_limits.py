"""How much a server takes at once."""

from __future__ import annotations

BODY_BYTES = 4 << 20  # 1000 raw rows take half of it, indented or with long numbers all of it
BODIES_BYTES = 64 << 20  # of all requests under way
DROPPED_BYTES = 64 << 20  # of a refused body: what else a client sends is not waited for
ROWS = 1000  # about 10 ms of the event loop, health probes included
BODY_SECONDS = 10.0  # for a client to send its body
HEAD_BYTES = 64 << 10  # of a request: its first line and headers
HEADERS = 256  # of a request
URL_BYTES = 8 << 10
HEAD_SECONDS = 10.0  # for the head of a request, from the connection's first moment
BODY_PAUSE_SECONDS, BODY_PAUSE_BYTES = 5.0, 1 << 10  # less in that time is no body on its way
CONNECTIONS = 512  # beyond, those that owe a request are closed, the oldest first
REQUESTS = 512  # at once
CLIENT_REQUESTS = 256  # at once by one client
# Of gRPC. What may arrive before it is read is at most the product of the first three.
GRPC_CONNECTIONS = 128
GRPC_CALLS = (
    80  # of a connection, more than the transformer has threads; further ones wait at the client
)
GRPC_AHEAD_BYTES = 16 << 10  # of a message, before it is read
GRPC_READS = 16  # at once that have all of BODY_SECONDS; beyond, the time is short
GRPC_CROWDED_SECONDS = 0.25
GRPC_IDLE_SECONDS = 60  # after which a connection without calls is closed
PIPELINED = 64  # sent on one connection before the first of them is answered
GRACE_SECONDS = 20  # for requests in flight when the server is told to stop
# Of a recording that is to be scored.
SCORE_BYTES = 64 << 20  # by default; about 150,000 rows of CSV
SCORE_BODY_SECONDS = 60.0  # for a client to send it
SCORE_SECONDS = 120.0  # for the wait and the work
SCORE_PLACES = 6  # that are sent, wait or are scored at a time
SCORE_ROWS = 150_000  # four hours, in 340 MB of memory beside the server's own
SCORE_ANSWERED_ROWS = 50_000  # whose answers are returned one by one
