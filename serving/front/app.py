"""The front's HTTP face: what the servers behind it answer, divided between two tracks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
from prometheus_client import REGISTRY, exposition
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from serving.common.endpoints import not_there
from serving.common.refusal import Refusal
from serving.front import metrics
from serving.front.incoming import asked_of, passing
from serving.front.keeper import Keeper
from serving.front.tracks import (
    DOWN,
    EXPLAINER,
    JSON_LENGTH,
    SLOW,
    TRANSFORMER,
    Answer,
    Asked,
    Track,
)
from serving.front.verdicts import Said, said
from serving.http.gate import Gate
from toolwear.common.request_limits import SCORE_BODY_SECONDS, SCORE_SECONDS
from toolwear.release.rollout import CANDIDATE, SHADOW, STABLE
from toolwear.workspace.tokens import Scope

RETRY_AFTER = "1"  # seconds; servers are back in a few
TRACK_HEADER = "x-toolwear-track"
_PREDICT_SECONDS = 30.0  # longer than a transformer waits for its predictor and store
_EXPLAIN_SECONDS = 300.0  # anchors take long; the explainer has a deadline of its own
_SCORE_SECONDS = SCORE_BODY_SECONDS + SCORE_SECONDS
_SHADOWS = 16  # copies under way; further requests are answered without a copy
_GONE = {"error": "The model does not answer at the moment; try again."}
_LATE = {"error": "The model did not answer in time; try again."}
_log = logging.getLogger("toolwear.front")
Handler = Callable[[Request], Awaitable[Response]]

PREDICT = ("/v1/models/{model:model}:predict", "/v2/models/{model:model}/infer")
# Not divided, and no evidence: whoever names a version wants that one.
OF_VERSION = "/v2/models/{model:model}/versions/{version}/infer"
EXPLAIN = "/v1/models/{model:model}:explain"
SCORE = "/v1/models/{model:model}:score"
LABELS = "/v1/labels"
# Answered by the champion's servers, whatever the weights are.
READ = (
    "/v1/models/{model:model}",
    "/v2/models/{model:model}",
    "/v2/models/{model:model}/ready",
    "/v2/models/{model:model}/versions/{version}",
    "/v2/models/{model:model}/versions/{version}/ready",
    "/v1/models",
    "/v2/models",
    "/v2",
    "/v2/health/ready",
    "/openapi.json",
    "/docs",
)


def application(
    keeper: Keeper, stable: Track, candidate: Track, gate: Gate, failed: Callable[[], None]
) -> Starlette:
    """Return the application.

    Args:
        keeper: knows how the traffic is divided.
        stable: the champion's servers.
        candidate: the candidate's.
        gate: knows who may label; the servers behind see one client only, the front.
        failed: called when the rollout cannot be watched any more.
    """
    front = _Front(keeper, stable, candidate, gate, failed)
    app = Starlette(
        routes=[
            *(Route(path, front.predict, methods=["POST"]) for path in PREDICT),
            Route(OF_VERSION, front.read, methods=["POST"]),
            Route(EXPLAIN, front.explain, methods=["POST"]),
            Route(SCORE, front.score, methods=["POST"]),
            Route(LABELS, front.labels, methods=["POST"]),
            *(Route(path, front.read, methods=["GET"]) for path in READ),
            Route("/rollout", front.rollout, methods=["GET"]),
            Route("/metrics", _metrics, methods=["GET"]),
            *(
                Route(path, _alive, methods=["GET"])
                for path in ("/healthz", "/v2/health/live", "/")
            ),
        ],
        lifespan=front.lifespan,
        exception_handlers={HTTPException: not_there, Refusal: _refused},
    )
    app.router.redirect_slashes = False  # a path that is not listed does not exist
    return app


class _Front:
    """The endpoints."""

    def __init__(
        self,
        keeper: Keeper,
        stable: Track,
        candidate: Track,
        gate: Gate,
        failed: Callable[[], None],
    ) -> None:
        self._failed = failed
        self._gate = gate
        self._keeper = keeper
        self._stable = stable
        self._candidate = candidate
        self._shadows: set[asyncio.Task[None]] = set()
        self._warming: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Keep the rollout going meanwhile."""
        keeping = asyncio.create_task(self._keeper.run())
        keeping.add_done_callback(self._unwatched)
        yield
        tasks = (keeping, *self._shadows)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self._keeper.close()
        for track in (self._stable, self._candidate):
            await track.close()

    def _unwatched(self, keeping: asyncio.Task[None]) -> None:
        """End the server: nothing may go to a candidate that nobody watches."""
        if not keeping.cancelled() and keeping.exception() is not None:
            _log.critical("the rollout cannot be watched", exc_info=keeping.exception())
            self._failed()

    async def predict(self, request: Request) -> Response:
        """Answer a prediction from the track that the lot falls on."""
        asked = await asked_of(request, TRANSFORMER, judged=True)
        if self._keeper.choose(TRANSFORMER) == CANDIDATE:
            return await self._with_candidate(asked, self._keeper.candidate_seconds)
        answer = await self._ask(self._stable, asked, _PREDICT_SECONDS)
        if self._keeper.judging:
            self._seen_of_stable(asked, answer)
        elif self._keeper.warming and answer.good and self._warming is None:
            self._warming = self._beside(self._warm_up(asked))
        return _response(answer, STABLE)

    async def explain(self, request: Request) -> Response:
        """Answer an explanation from the track that the lot falls on."""
        asked = await asked_of(request, EXPLAINER)
        if self._keeper.choose(EXPLAINER) == CANDIDATE:
            return await self._with_candidate(asked, _EXPLAIN_SECONDS)
        return _response(await self._ask(self._stable, asked, _EXPLAIN_SECONDS), STABLE)

    async def score(self, request: Request) -> Response:
        """Have a recording scored by the champion; it is too long to be kept for asking twice."""
        try:
            answer = await self._ask(self._stable, passing(request, TRANSFORMER), _SCORE_SECONDS)
        except ClientDisconnect:
            raise Refusal("too_slow", "The body did not arrive.", 400) from None
        return _response(answer, STABLE)

    async def labels(self, request: Request) -> Response:
        """Hand labels to the server that gave the answer: it may not have written it down yet."""
        self._gate.enter(request, Scope.LABEL)
        asked = await asked_of(request, TRANSFORMER)
        token = {"authorization": request.headers["authorization"]}
        asked = replace(asked, headers={**asked.headers, **token})
        answer = await self._ask(self._stable, asked, _PREDICT_SECONDS)
        if answer.status == 422 and self._keeper.judging:
            other = await self._ask(self._candidate, asked, _PREDICT_SECONDS)
            if other.good:
                return _response(other, CANDIDATE)
        return _response(answer, STABLE)

    async def read(self, request: Request) -> Response:
        """Answer from the champion's transformer: what only reads, or names a version."""
        asked = await asked_of(request, TRANSFORMER)
        return _response(await self._ask(self._stable, asked, _PREDICT_SECONDS), STABLE)

    async def rollout(self, _request: Request) -> Response:
        """Tell of the rollout."""
        return _json(self._keeper.told())

    async def _with_candidate(self, asked: Asked, seconds: float) -> Response:
        """Ask the candidate, and where it does not answer well, the champion for it."""
        answer = await self._ask(self._candidate, asked, seconds)
        content = _said(asked, answer)
        if answer.good and self._keeper.serves(CANDIDATE, content):
            if asked.judged:
                self._keeper.add(CANDIDATE, asked, answer, content)
            return _response(answer, CANDIDATE)
        instead = await self._ask(self._stable, asked, _PREDICT_SECONDS)
        # What both refuse is the client's fault. What both fail at may be anybody's.
        if asked.judged and not answer.good and (instead.good or not answer.refuses):
            self._keeper.add(CANDIDATE, asked, answer, None, alone=instead.good)
        return _response(instead, STABLE)

    def _seen_of_stable(self, asked: Asked, answer: Answer) -> None:
        """Count the champion's answer; in shadow mode, ask the candidate the same beside it."""
        content = _said(asked, answer)
        if answer.refuses or not self._keeper.serves(STABLE, content):
            return
        if not self._keeper.shadowing:
            self._keeper.add(STABLE, asked, answer, content)
        elif len(self._shadows) < _SHADOWS:
            self._beside(self._shadow(asked, answer, content))

    def _beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something that nobody waits for."""
        task = asyncio.create_task(work)
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)
        task.add_done_callback(_ended)
        return task

    async def _warm_up(self, asked: Asked) -> None:
        """Ask the candidate what the champion has answered, one at a time, without counting it."""
        try:
            theirs = await self._candidate.ask(asked.copy(), self._keeper.candidate_seconds)
            _count(SHADOW, theirs)
            self._keeper.warmed(theirs, _said(asked, theirs))
        finally:
            self._warming = None

    async def _shadow(self, asked: Asked, answer: Answer, content: Said | None) -> None:
        """Ask the candidate what the champion has answered already; nobody waits for it."""
        copy = asked.copy()
        theirs = await self._candidate.ask(copy, self._keeper.candidate_seconds)
        _count(SHADOW, theirs)
        said_too = _said(asked, theirs)
        if theirs.good and not self._keeper.serves(CANDIDATE, said_too):
            return
        self._keeper.add(STABLE, asked, answer, content)
        self._keeper.add(CANDIDATE, asked, theirs, said_too, alone=answer.good)
        if content is not None and said_too is not None:
            self._keeper.compare(asked, said_too, content)

    async def _ask(self, track: Track, asked: Asked, seconds: float) -> Answer:
        answer = await track.ask(asked, seconds)
        _count(track.name, answer)
        return answer


def _count(track: str, answer: Answer) -> None:
    metrics.REQUESTS.labels(track, str(answer.status)).inc()
    metrics.SECONDS.labels(track).observe(answer.seconds)


def _said(asked: Asked, answer: Answer) -> Said | None:
    if not (asked.judged and answer.good):
        return None
    return said(answer.body, answer.headers.get(JSON_LENGTH))


def _response(answer: Answer, track: str) -> Response:
    """Return a server's answer, or a clean 503 or 504 if it gave none."""
    headers = {**answer.headers, TRACK_HEADER: track}
    if answer.status in (DOWN, SLOW):
        headers.setdefault("retry-after", RETRY_AFTER)
        if not answer.body:
            return _json(_GONE if answer.status == DOWN else _LATE, answer.status, headers)
    return Response(answer.body, answer.status, headers)


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    content = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    return Response(content, status, headers, media_type="application/json")


async def _metrics(request: Request) -> Response:
    encoder, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
    return Response(encoder(REGISTRY), headers={"content-type": content_type})


async def _alive(_request: Request) -> Response:
    return _json({"status": "alive"})


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    return _json({"error": error.reason}, error.status, error.headers)


def _ended(task: asyncio.Task[None]) -> None:
    """Say what a task died of that nobody awaits."""
    if not task.cancelled() and task.exception() is not None:
        _log.critical("a task of the front has failed", exc_info=task.exception())
