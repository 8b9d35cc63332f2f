"""Where what takes long is done: one at a time beside the event loop, few waiting, no more."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from prometheus_client import Gauge

from serving.common.refusal import Refusal

_NEWEST = 0.3  # weight of the newest in the mean of how long a kind of work takes


@dataclass(frozen=True, eq=False)
class _Job:
    kind: str
    work: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


class Lane:
    """A thread, and before it a queue for each kind of work; those with work take turns.

    Args:
        name: of the thread.
        waiting: how many of a kind may wait.
        under_way: is told how many are under way or wait.
    """

    def __init__(self, name: str, waiting: int, under_way: Gauge) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._room = 1 + waiting
        self._under_way = under_way
        self._lock = threading.Lock()
        self._queues: dict[str, deque[_Job]] = {}  # the one whose turn it is first
        self._count: Counter[str] = Counter()  # by kind, the one at work included
        self._seconds: dict[str, float] = {}  # that a kind takes

    async def run[T](self, kind: str, work: Callable[[], T], seconds: float) -> T:
        """Return what `work` returns, once it is its turn.

        Args:
            kind: of the work.
            work: to be done in the thread.
            seconds: to wait at most.

        Raises:
            Refusal: too many of its kind wait, or longer ones than it has time.
            TimeoutError: it was not done in time.
        """
        job: _Job = _Job(kind, work)
        with self._lock:
            self._enter(job, seconds)
        self._thread.submit(self._next)
        try:
            async with asyncio.timeout(seconds):
                result: T = await asyncio.wrap_future(job.future)
                return result
        finally:
            self._give_up(job)

    def close(self) -> None:
        """Start nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for queue in self._queues.values():
                for job in queue:
                    job.future.cancel()

    def _enter(self, job: _Job, seconds: float) -> None:
        turn = self._turn(job.kind)
        if self._count[job.kind] >= self._room or turn > seconds:
            wait = max(1, math.ceil(turn))
            raise Refusal(
                "busy",
                f"Too many requests of this kind wait already; try again in {wait} s.",
                429,
                wait,
            )
        self._queues.setdefault(job.kind, deque()).append(job)
        self._count[job.kind] += 1
        self._under_way.inc()

    def _turn(self, kind: str) -> float:
        """Return after how many seconds a new one of this kind would have its turn."""
        before = self._count[kind]
        return sum(
            min(count, before + (other != kind)) * self._seconds.get(other, 0.0)
            for other, count in self._count.items()
        )

    def _give_up(self, job: _Job) -> None:
        """Take out of its queue what nobody waits for any more."""
        with self._lock:
            queue = self._queues[job.kind]
            if job in queue:
                queue.remove(job)
                self._leave(job)

    def _leave(self, job: _Job) -> None:
        self._count[job.kind] -= 1
        self._under_way.dec()

    def _next(self) -> None:
        with self._lock:
            kind = next((kind for kind, queue in self._queues.items() if queue), None)
            if kind is None:  # the job that this was for was given up
                return
            queue = self._queues.pop(kind)
            self._queues[kind] = queue  # the others come first the next time
            job = queue.popleft()
            if not job.future.set_running_or_notify_cancel():
                self._leave(job)
                return
        started = monotonic()
        error: BaseException | None = None
        result = None
        try:
            result = job.work()
        except BaseException as fault:  # noqa: BLE001 - it is for the one who waits
            error = fault
        took = monotonic() - started
        with self._lock:
            known = self._seconds.get(kind, took)
            self._seconds[kind] = known + _NEWEST * (took - known)
            self._leave(job)  # first: who has the answer may ask again at once
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)
