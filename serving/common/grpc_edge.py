"""Limits of the gRPC port: what a client may have under way, and how long its messages may take.

gRPC's library hands a call over when its message is there, and until then neither counts it by
client nor ends it. So every method is served as one that takes a stream of messages: it is then
called at once, reads the one message in its own time, and is the same to every client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from serving.common import metrics
from serving.common.body import hold, release
from serving.common.refusal import Refusal
from serving.http.clients import OpenRequests, client_name
from toolwear.common.request_limits import (
    BODY_BYTES,
    BODY_SECONDS,
    GRPC_AHEAD_BYTES,
    GRPC_CALLS,
    GRPC_CONNECTIONS,
    GRPC_CROWDED_SECONDS,
    GRPC_IDLE_SECONDS,
    GRPC_READS,
    HEAD_BYTES,
    HEAD_SECONDS,
)

# Of servers and channels: no ping with each message to find out how wide the line is.
NO_PROBE = ("grpc.http2.bdp_probe", 0)
OPTIONS = (
    ("grpc.max_receive_message_length", BODY_BYTES),
    ("grpc.max_concurrent_streams", GRPC_CALLS),
    ("grpc.http2.lookahead_bytes", GRPC_AHEAD_BYTES),
    ("grpc.max_allowed_incoming_connections", GRPC_CONNECTIONS),
    ("grpc.max_connection_idle_ms", GRPC_IDLE_SECONDS * 1000),
    ("grpc.server_handshake_timeout_ms", int(HEAD_SECONDS * 1000)),
    ("grpc.max_metadata_size", HEAD_BYTES),
    # Without it a second server on the port would silently get half of the calls.
    ("grpc.so_reuseport", 0),
    NO_PROBE,
)
HTTP_STATUS = "http-status"  # in the metadata behind a refusal
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
Method = Callable[[Any, Any], Awaitable[Any]]


class GrpcEdge:
    """Calls the methods of a service with messages that arrived in time, not too many at once.

    Args:
        server: its name in the metrics.
        watched: methods that are answered however much a client has under way.
    """

    def __init__(self, server: str, watched: frozenset[str]) -> None:
        self._server = server
        self._watched = watched
        self._reading = 0
        self._open = OpenRequests()  # calls from when their message is there

    def handlers(self, service: ServiceDescriptor, methods: Any) -> dict[str, Any]:
        """Return the handlers of a service's methods, which are attributes of `methods`."""
        return {
            method.name: self._handler(method, getattr(methods, method.name))
            for method in service.methods
        }

    def _handler(self, method: MethodDescriptor, answer: Method) -> Any:
        kind = GetMessageClass(method.input_type)
        bounded = method.name not in self._watched

        async def call(_messages: Any, context: Any) -> Any:
            held: dict[str, Any] = {}
            try:
                raw = await self._read(context)
                hold(held, len(raw))
                message = kind.FromString(raw)
                if not bounded:
                    return await answer(message, context)
                return await self._counted(message, context, answer)
            except DecodeError:
                refusal = Refusal("request", f"The message is not a {method.input_type.name}.")
            except Refusal as error:
                refusal = error
            finally:
                release(held)
            metrics.REFUSALS.labels(self._server, refusal.kind).inc()
            return await context.abort(
                status_of(refusal.kind), refusal.reason, behind(refusal.status, refusal.headers)
            )

        # Answers are messages; requests are bytes until they are counted.
        return grpc.stream_unary_rpc_method_handler(
            call, response_serializer=GetMessageClass(method.output_type).SerializeToString
        )

    async def _read(self, context: Any) -> bytes:
        seconds = BODY_SECONDS if self._reading < GRPC_READS else GRPC_CROWDED_SECONDS
        self._reading += 1
        try:
            async with asyncio.timeout(seconds):
                raw = await context.read()
        except TimeoutError:
            raise Refusal("too_slow", "The message did not arrive in time.", 408) from None
        finally:
            self._reading -= 1
        if raw is grpc.aio.EOF:
            raise Refusal("request", "The call has no message.")
        return raw

    async def _counted(self, message: Any, context: Any, answer: Method) -> Any:
        client = client_name(_host(context.peer()))
        self._open.add(client)
        try:
            return await answer(message, context)
        finally:
            self._open.remove(client)


def behind(status: int, headers: Mapping[str, str] = NO_HEADERS) -> tuple[tuple[str, str], ...]:
    """Return the metadata behind a refusal: the status and the headers that HTTP would have.

    gRPC's few statuses do not tell what has to be mended from what may be asked again.
    """
    return ((HTTP_STATUS, str(status)), *headers.items())


def status_of(kind: str) -> grpc.StatusCode:
    """Return gRPC's status for a refusal of a kind."""
    codes = {
        # Tells the transformer to ask again, with what the model of today needs.
        "feature_set": grpc.StatusCode.FAILED_PRECONDITION,
        "other_version": grpc.StatusCode.NOT_FOUND,
        "busy": grpc.StatusCode.RESOURCE_EXHAUSTED,
        "too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
        "too_slow": grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    return codes.get(kind, grpc.StatusCode.INVALID_ARGUMENT)


def _host(peer: str) -> str:
    """Return the host of an address as gRPC writes it: `ipv4:HOST:PORT`, `ipv6:%5BHOST%5D:PORT`."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
