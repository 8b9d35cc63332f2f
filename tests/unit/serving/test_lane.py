"""The lane: one at a time, each kind its turn, few waiting, nothing left behind."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from prometheus_client import Gauge

from serving.common.lane import Lane
from serving.common.refusal import Refusal


def lane(waiting: int) -> tuple[Lane, Gauge]:
    gauge = Gauge("under_way", "of the test", registry=None)
    return Lane("test", waiting, gauge), gauge


async def test_a_full_lane_refuses_and_frees_itself_after_a_time_out() -> None:
    own, under_way = lane(waiting=1)
    hold = threading.Event()
    running = asyncio.create_task(own.run("shap", lambda: hold.wait(10), 0.2))
    waiting = asyncio.create_task(own.run("shap", lambda: True, 0.2))
    await asyncio.sleep(0.05)
    with pytest.raises(Refusal, match="Too many requests of this kind") as refused:
        await own.run("shap", lambda: True, 1)
    assert refused.value.status == 429
    assert refused.value.retry_after == 1
    for late in (running, waiting):
        with pytest.raises(TimeoutError):
            await late
    hold.set()
    assert await own.run("shap", lambda: "next", 5) == "next"
    assert under_way._value.get() == 0
    own.close()


async def test_each_kind_has_its_turn_however_many_of_another_wait() -> None:
    own, _ = lane(waiting=40)
    hold, order = threading.Event(), []
    first = asyncio.create_task(own.run("anchor", lambda: hold.wait(10), 30))
    await asyncio.sleep(0.05)
    jobs = [
        asyncio.create_task(own.run(kind, lambda kind=kind: order.append(kind), 30))  # type: ignore[misc]
        for kind in ["anchor"] * 32 + ["ice", "pdp", "ice"]
    ]
    await asyncio.sleep(0.05)
    hold.set()
    await asyncio.gather(first, *jobs)
    assert sorted(order[:3]) == ["anchor", "ice", "pdp"]
    assert sorted(order[3:5]) == ["anchor", "ice"]
    assert len(order) == 35
    own.close()


async def test_the_queue_of_one_kind_takes_no_room_of_another() -> None:
    own, _ = lane(waiting=2)
    hold = threading.Event()
    jobs = [asyncio.create_task(own.run("anchor", lambda: hold.wait(10), 30)) for _ in range(3)]
    await asyncio.sleep(0.05)
    with pytest.raises(Refusal):
        await own.run("anchor", lambda: hold.wait(10), 30)
    jobs.append(asyncio.create_task(own.run("ice", lambda: hold.wait(10), 30)))
    await asyncio.sleep(0.05)
    hold.set()
    assert await asyncio.gather(*jobs) == [True] * 4
    own.close()


async def test_what_would_wait_longer_than_it_has_time_is_refused_with_the_wait() -> None:
    own, _ = lane(waiting=8)
    await own.run("anchor", lambda: time.sleep(0.6), 30)
    hold = threading.Event()
    jobs = [asyncio.create_task(own.run("anchor", lambda: hold.wait(10), 30)) for _ in range(5)]
    await asyncio.sleep(0.05)
    with pytest.raises(Refusal) as refused:
        await own.run("anchor", lambda: hold.wait(10), 2)
    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= 3  # five that take 0.6 s
    hold.set()
    await asyncio.gather(*jobs)
    own.close()


async def test_closing_leaves_nobody_waiting() -> None:
    own, _ = lane(waiting=4)
    hold = threading.Event()
    running = asyncio.create_task(own.run("shap", lambda: hold.wait(10), 30))
    waiting = asyncio.create_task(own.run("shap", lambda: hold.wait(10), 30))
    await asyncio.sleep(0.05)
    own.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    hold.set()
    assert await running
