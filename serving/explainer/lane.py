"""Where explanations are computed: one at a time beside the event loop, few waiting, no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore

from serving.common.refusal import Refusal
from serving.explainer.deadline import Deadline, TooSlowError
from serving.explainer.metrics import BUSY

RETRY_SECONDS = 5


class Lane:
    """A thread and the bounded queue before it.

    Args:
        name: label of its metric.
        waiting: explanations that may wait.
    """

    def __init__(self, name: str, waiting: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._room = BoundedSemaphore(1 + waiting)
        self._busy = BUSY.labels(name)

    async def run[T](self, work: Callable[[], T], deadline: Deadline) -> T:
        """Return what `work` returns, once it is its turn.

        Raises:
            Refusal: the queue is full.
            TooSlowError: it was not done in time.
        """
        if not self._room.acquire(blocking=False):
            raise Refusal(
                "busy", "Too many explanations are under way; try again.", 503, RETRY_SECONDS
            )
        self._busy.inc()
        job = self._thread.submit(work)
        job.add_done_callback(self._leave)
        try:
            async with asyncio.timeout(deadline.left):
                return await asyncio.wrap_future(job)
        except TimeoutError:
            raise TooSlowError from None

    def close(self) -> None:
        """Start nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _leave(self, _job: Future) -> None:
        # Once the thread is free of it, which after a time-out is later than the answer.
        self._busy.dec()
        self._room.release()
