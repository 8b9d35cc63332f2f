"""Pages that take long: few at once, some waiting, and for more a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

RETRY_SECONDS = 2


class TooManyError(Exception):
    """As many wait as may."""


class Few:
    """Lets few in at once; the others wait.

    Args:
        at_once: how many.
        waiting: how many may wait.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._room = at_once + waiting
        self._here = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place, once there is one.

        Raises:
            TooManyError: too many wait.
        """
        if self._here >= self._room:
            raise TooManyError
        self._here += 1
        try:
            async with self._places:
                yield
        finally:
            self._here -= 1

    def page(
        self, page: Callable[[Request], Response], instead: Callable[[], Response]
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the page, computed in a place.

        Args:
            page: computes it.
            instead: is shown where too many wait.
        """

        async def found(request: Request) -> Response:
            try:
                async with self.place():
                    return await run_in_threadpool(page, request)
            except TooManyError:
                return busy(instead())

        return found


def busy(answer: Response) -> Response:
    """Return an answer with the word when to try again."""
    answer.headers["retry-after"] = str(RETRY_SECONDS)
    return answer
