"""What a request waits for, done in one thread: its features, then the model's answer.

Each change of thread costs a tenth of a millisecond and more; one is enough.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from serving.common.features import FeatureSource, FeatureSpec
from serving.common.outages import PredictorDownError
from serving.common.rows import EntityKeys
from serving.transformer.answer import Query, Result
from serving.transformer.hop import FeaturesChangedError, Hop

_SWAPS = 3  # models that may be swapped in during one request before it is given up
_THREADS = 64  # requests under way at a time; further ones queue


class Work:
    """Answers checked requests; closing it closes the hop and the source.

    Attributes:
        spec: of the model that answered last; None before the first.

    Args:
        hop: to the predictor.
        source: of features.
    """

    def __init__(self, hop: Hop, source: FeatureSource) -> None:
        self._hop = hop
        self._source = source
        self.spec: FeatureSpec | None = None
        # Apart, so that a store that hangs stops no request that does not need it.
        self._of_the_store = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")
        self._of_others = ThreadPoolExecutor(_THREADS, thread_name_prefix="rows")

    def close(self) -> None:
        """Let go of the threads and of the connections."""
        for threads in (self._of_the_store, self._of_others):
            threads.shutdown(wait=False, cancel_futures=True)
        self._hop.close()
        self._source.close()

    async def result(self, query: Query) -> Result:
        """Answer a request.

        Raises:
            Refusal: there are no fit features, or the model has no answer for them.
            StoreDownError, StoreSlowError, PredictorDownError, PredictorSlowError: what they say.
        """
        loop = asyncio.get_running_loop()
        task = _Task(query)
        if not isinstance(query.rows, EntityKeys):
            return await loop.run_in_executor(self._of_others, self._answered, task)
        answer = loop.run_in_executor(self._of_the_store, self._answered, task)
        seconds = self._source.seconds
        watch: asyncio.TimerHandle

        def look() -> None:
            nonlocal watch
            if task.read_for() >= seconds:
                task.given_up = True
                answer.cancel()  # nobody waits for it any more
            else:
                watch = loop.call_later(seconds, look)

        watch = loop.call_later(seconds, look)
        try:
            return await answer
        except asyncio.CancelledError:
            if task.given_up:
                raise self._source.slow() from None
            task.given_up = True
            raise
        finally:
            watch.cancel()

    def _answered(self, task: _Task) -> Result:
        """Answer; if the predictor serves another model by now, with that one's features."""
        for _ in range(_SWAPS):
            spec = self.spec or self._hop.spec()
            self.spec = spec
            task.reading_since = monotonic()
            features = self._source.now(task.query.rows, spec)
            task.reading_since = None
            if task.given_up:
                raise self._source.slow()
            complete = features.complete
            values = features.values if complete.all() else features.values[complete]
            try:
                answer = self._hop.answer(values, spec, task.query.receipt_id)
            except FeaturesChangedError:
                self.spec = None
                continue
            return Result.of(task.query, spec, features, answer)
        raise PredictorDownError(f"its model changed {_SWAPS} times during one request")


class _Task:
    """A request under way: what its thread tells the one that waits for it, and the other way."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.reading_since: float | None = None
        self.given_up = False

    def read_for(self) -> float:
        """Seconds since the store was asked; 0 if it is not being asked."""
        since = self.reading_since
        return 0.0 if since is None else monotonic() - since
