"""The limits of the gRPC port: what a client with unfinished calls sees, and what others keep."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import grpc
import psutil
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as stubs

from serving.common.grpc_edge import OPTIONS, GrpcEdge
from serving.common.grpc_face import SERVICE, WATCHED
from tests.serving.conftest import MODEL, Served
from tests.serving.half_calls import INFER, HalfCalls
from toolwear.common.request_limits import (
    BODY_BYTES,
    BODY_SECONDS,
    CLIENT_REQUESTS,
    GRPC_CALLS,
    GRPC_CONNECTIONS,
    GRPC_READS,
)

READY = pb.ModelReadyRequest(name=MODEL)
MAY_GROW = 100 << 20


@pytest.fixture
def stub(served: Served) -> Iterator[stubs.GRPCInferenceServiceStub]:
    """Return a client that is connected."""
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        client = stubs.GRPCInferenceServiceStub(channel)
        assert client.ModelReady(READY, timeout=10).ready
        yield client


@pytest.mark.parametrize("announced", [BODY_BYTES, 0])
def test_unfinished_calls_take_neither_memory_nor_places(
    served: Served, stub: stubs.GRPCInferenceServiceStub, announced: int
) -> None:
    process = psutil.Process(served.pid)
    before, ended, grown = process.memory_info().rss, threading.Event(), [0]

    def watch() -> int:
        answered = 0
        while not ended.is_set():
            assert stub.ModelReady(READY, timeout=5).ready
            answered += 1
            grown[0] = max(grown[0], process.memory_info().rss - before)
        return answered

    def attack(_number: int) -> int:
        calls = HalfCalls(served.grpc_port, INFER, 2 * GRPC_CALLS, announced)
        with contextlib.closing(calls):
            calls.send(2)
            return calls.open()

    with ThreadPoolExecutor(13) as pool:
        quiet = pool.submit(watch)
        left = list(pool.map(attack, range(12)))
        ended.set()
        assert quiet.result() > 0
    assert sum(left) <= GRPC_READS
    assert grown[0] < MAY_GROW


def test_a_message_that_does_not_come_ends_its_call(served: Served) -> None:
    never = threading.Event()

    def messages() -> Iterator[bytes]:
        never.wait(60)
        yield b""

    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        started = time.monotonic()
        with pytest.raises(grpc.RpcError, match="did not arrive in time") as refused:
            channel.stream_unary(INFER)(messages())
        never.set()
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started >= BODY_SECONDS - 0.1


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ([], "The call has no message"),
        ([b"\xff" * 40], "The message is not a ModelInferRequest"),
    ],
)
def test_a_call_without_a_right_message_is_refused(
    served: Served, sent: list[bytes], says: str
) -> None:
    with (
        grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel,
        pytest.raises(grpc.RpcError, match=says) as refused,
    ):
        channel.stream_unary(INFER)(iter(sent))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_silent_connections_leave_those_alone_that_are_there(
    served: Served, stub: stubs.GRPCInferenceServiceStub
) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(2 * GRPC_CONNECTIONS):
            opened.enter_context(socket.create_connection(("127.0.0.1", served.grpc_port)))
        assert all(stub.ModelReady(READY, timeout=5).ready for _ in range(50))
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        later = stubs.GRPCInferenceServiceStub(channel)
        assert later.ModelReady(READY, timeout=10, wait_for_ready=True).ready


class Slow:
    """A service that answers when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        async def answer(_message: Any, _context: Any) -> Any:
            if name not in WATCHED:
                await self.go.wait()
            return getattr(pb, f"{name}Response")()

        return answer


@asynccontextmanager
async def slow_server() -> AsyncIterator[tuple[Slow, int]]:
    slow, running = Slow(), grpc.aio.server(options=OPTIONS)
    running.add_registered_method_handlers(
        SERVICE.full_name, GrpcEdge("predictor", WATCHED).handlers(SERVICE, slow)
    )
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        yield slow, port
    finally:
        await running.stop(None)


async def test_a_client_may_have_so_many_calls_and_is_still_told_of_readiness() -> None:
    async with slow_server() as (slow, port), contextlib.AsyncExitStack() as opened:
        remotes = []
        for number in range(CLIENT_REQUESTS // GRPC_CALLS + 2):
            # Of one connection each: gRPC would share one.
            own = [("grpc.use_local_subchannel_pool", 1), ("toolwear.number", number)]
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=own)
            await opened.enter_async_context(channel)
            remotes.append(stubs.GRPCInferenceServiceStub(channel))
        other = remotes.pop()
        calls = [
            remote.ModelMetadata(pb.ModelMetadataRequest())
            for remote in remotes
            for _ in range(GRPC_CALLS)
        ]
        codes = [asyncio.ensure_future(call.code()) for call in calls]
        finished = asyncio.as_completed(codes)
        for _ in calls[CLIENT_REQUESTS:]:
            assert await next(finished) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await other.ModelReady(pb.ModelReadyRequest()) is not None
        slow.go.set()
        answered = (await asyncio.gather(*codes)).count(grpc.StatusCode.OK)
    assert answered == CLIENT_REQUESTS
