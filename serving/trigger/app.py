"""The trigger's HTTP face: what it takes, from whom, and what it tells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from prometheus_client import REGISTRY, exposition
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.common.body import json_object, read_body
from serving.common.described import routes
from serving.common.endpoints import IDEMPOTENCY_KEY, not_there
from serving.common.refusal import Refusal
from serving.http.gate import Gate
from serving.trigger import alerts, asked, metrics
from serving.trigger.backend import BackendDownError
from serving.trigger.dispatcher import Dispatcher
from serving.trigger.jobs import MOST, PATH, Jobs, no_such_job
from serving.trigger.openapi import described
from serving.trigger.operations import Operations, why_of
from serving.trigger.signature import by_of, signed
from serving.trigger.store import Store, TooManyError
from toolwear.common.states import State
from toolwear.workspace.tokens import Scope

_RUNS = 50
_DIGITS = 12
_log = logging.getLogger("toolwear.trigger")
Handler = Callable[[Request], Awaitable[Response]]


def application(
    dispatcher: Dispatcher, operations: Operations, gate: Gate, jobs: Jobs
) -> Starlette:
    """Return the application.

    Args:
        dispatcher: keeps the causes.
        operations: on the champion.
        gate: knows the tokens of those who may change anything.
        jobs: that score.
    """
    face = _Face(dispatcher, operations, gate, jobs)

    app = Starlette(
        routes=[
            Route("/retrain", face.operators(face.retrain), methods=["POST"]),
            Route("/retrain", _answered(face.defaults), methods=["GET"]),
            Route("/alerts", face.holders(Scope.ALERT, face.alerts), methods=["POST"]),
            Route("/approvals", _answered(face.approvals), methods=["GET"]),
            Route("/approvals/{id}", face.operators(face.decide), methods=["POST"]),
            Route("/rollback", face.operators(face.rollback), methods=["POST"]),
            Route("/runs", _answered(face.runs), methods=["GET"]),
            Route("/runs/{id}", _answered(face.run), methods=["GET"]),
            Route("/runs/{id}/cancel", face.operators(face.cancel), methods=["POST"]),
            Route(PATH, face.operators(face.score), methods=["POST"]),
            Route(PATH, _answered(face.jobs), methods=["GET"]),
            Route(f"{PATH}/{{id}}", _answered(face.job), methods=["GET"]),
            Route(f"{PATH}/{{id}}/verdicts", _answered(face.verdicts), methods=["GET"]),
            Route(f"{PATH}/{{id}}/cancel", face.operators(face.cancel_job), methods=["POST"]),
            Route("/metrics", face.metrics, methods=["GET"]),
            Route("/healthz", face.healthz, methods=["GET"]),
            *routes(described()),
        ],
        exception_handlers={HTTPException: not_there},
    )
    app.router.redirect_slashes = False
    return app


class _Face:
    """The endpoints."""

    def __init__(
        self, dispatcher: Dispatcher, operations: Operations, gate: Gate, jobs: Jobs
    ) -> None:
        self._dispatcher = dispatcher
        self._operations = operations
        self._gate = gate
        self._jobs = jobs

    def operators(self, handler: Handler) -> Handler:
        """Return the handler for operators."""
        return self.holders(Scope.OPERATE, handler)

    def holders(self, may: Scope, handler: Handler) -> Handler:
        """Return the handler for those with a token for it; others' bodies are not read."""

        async def guarded(request: Request) -> Response:
            self._gate.enter(request, may)
            return await handler(request)

        return _answered(guarded)

    async def retrain(self, request: Request) -> Response:
        """Take a cause from a person or a program."""
        key = request.headers.get(IDEMPOTENCY_KEY)
        wanted = asked.read(json_object(await read_body(request)), key)
        lacking = await asyncio.to_thread(self._dispatcher.backend.lacks, wanted.parameters)
        if lacking:
            raise Refusal("request", lacking, 409)
        accepted = await asyncio.to_thread(self._dispatcher.accept, wanted)
        return _json({"id": str(accepted.id), "status": accepted.state}, 202)

    async def defaults(self, _request: Request) -> Response:
        """Tell which settings a run has that is given none of its own."""
        try:
            found = await asyncio.to_thread(self._dispatcher.backend.defaults)
        except BackendDownError as error:
            raise Refusal("request", str(error), 503) from error
        return _json({"parameters": found})

    async def alerts(self, request: Request) -> Response:
        """Take a notification of Alertmanager."""
        told = alerts.read(json_object(await read_body(request)))
        for fingerprint in told.ended:
            await asyncio.to_thread(self._dispatcher.alerts.end, fingerprint)
        results = [await asyncio.to_thread(self._dispatcher.fires, one) for one in told.firing]
        causes = [{"id": str(one.id), "result": one.result} for one in results]
        return _json({"causes": causes, "ignored": told.ignored})

    async def approvals(self, _request: Request) -> Response:
        """Tell what was held and what became of it, the newest move, and what does not agree."""
        move = self._operations.last()  # first: what it did is then in what was held
        held = await asyncio.to_thread(self._operations.approvals)
        differs = await asyncio.to_thread(self._operations.disagreement)
        return _json({"approvals": held, "move": move, "differs": differs})

    async def decide(self, request: Request) -> Response:
        """Allow or refuse what is held."""
        body = json_object(await read_body(request))
        key = request.path_params["id"]
        return _moved(await asyncio.to_thread(self._operations.decide, key, body))

    async def rollback(self, request: Request) -> Response:
        """Go back from what was released last."""
        body = json_object(await read_body(request))
        return _moved(await asyncio.to_thread(self._operations.roll_back, body))

    async def runs(self, _request: Request) -> Response:
        """Tell of the newest causes and their runs."""
        runs = await asyncio.to_thread(self._dispatcher.store.causes, _RUNS)
        return _json({"runs": runs, "notes": self._dispatcher.notes})

    async def run(self, request: Request) -> Response:
        """Tell of one cause, its run, and the run's steps."""
        found = await asyncio.to_thread(self._dispatcher.store.causes, 1, _number(request))
        if not found:
            raise _no_such_run()
        attempts = found[0]["attempts"]
        steps = self._dispatcher.backend.steps
        told: dict[str, Any] = {**found[0], "steps": [], "note": ""}
        try:
            if attempts:
                told["steps"] = await asyncio.to_thread(steps, attempts[-1]["name"])
        except BackendDownError as error:
            told["note"] = str(error)
        return _json(told)

    async def cancel(self, request: Request) -> Response:
        """Want a run no more, whether it waits or is at work."""
        return await _cancelled(request, self._dispatcher.store, "run", _no_such_run())

    async def score(self, request: Request) -> Response:
        """Take a job that scores a folder or a bucket."""
        body, key = json_object(await read_body(request)), request.headers.get(IDEMPOTENCY_KEY)
        accepted = await asyncio.to_thread(self._jobs.accept, body, key)
        told = {"id": str(accepted.id), "status": accepted.state}
        return _json(told, 202, {"location": f"{PATH}/{accepted.id}"})

    async def jobs(self, request: Request) -> Response:
        """Tell of the newest jobs."""
        return _json({"jobs": await asyncio.to_thread(self._jobs.newest, _limit(request))})

    async def job(self, request: Request) -> Response:
        """Tell of a job, how far it is, and where its verdicts are."""
        return _json(await asyncio.to_thread(self._jobs.told, _number(request)))

    async def verdicts(self, request: Request) -> Response:
        """Send the verdicts of a job."""
        return await asyncio.to_thread(self._jobs.verdicts, _number(request))

    async def cancel_job(self, request: Request) -> Response:
        """Want a job no more, whether it waits or is at work."""
        return await _cancelled(request, self._jobs.dispatcher.store, "job", no_such_job())

    async def metrics(self, request: Request) -> Response:
        """Tell Prometheus."""
        encoder, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
        return Response(
            await asyncio.to_thread(self._exposed, encoder), headers={"content-type": content_type}
        )

    def _exposed(self, encoder: Callable[[Any], bytes]) -> bytes:
        dispatcher = self._dispatcher
        metrics.refresh(
            dispatcher.store,
            self._jobs.dispatcher.store,
            dispatcher.others_at_work,
            dispatcher.schedule.next,
            self._operations.waiting(),
        )
        return encoder(REGISTRY)

    async def healthz(self, _request: Request) -> Response:
        """Tell whether causes and jobs are given their runs."""
        if not (self._dispatcher.alive and self._jobs.dispatcher.alive):
            return _json({"error": "The dispatcher has ended; the log says why."}, 503)
        return _json({"status": "ok"})


def _answered(handler: Handler) -> Handler:
    """Return the handler with an answer of one sentence for every fault."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except Refusal as error:
            return _json({"error": error.reason}, error.status, error.headers)
        except TooManyError as error:
            return _json({"error": str(error)}, 429, {"retry-after": "60"})
        except Exception as error:  # noqa: BLE001 - the last resort: an answer for everything
            # What went wrong is for our log, not for the caller.
            _log.error("request failed", exc_info=error)
            return _json({"error": "The trigger failed at this request; its log says why."}, 500)

    return answered


async def _cancelled(request: Request, store: Store, what: str, unknown: Refusal) -> Response:
    body = json_object(await read_body(request))
    why, number = signed(why_of(body), by_of(body)), _number(request)
    state = await asyncio.to_thread(store.cancel, number, why)
    if state is None:
        raise unknown
    if state not in (State.CANCELLED, State.RUNNING):
        raise Refusal(
            "request", f"The {what} has ended ({state}); there is nothing to cancel.", 409
        )
    return _json({"id": str(number), "status": state}, 202)


def _moved(move: dict[str, Any]) -> Response:
    return _json(move, 202 if "state" in move else 200)


def _limit(request: Request) -> int:
    """Return how many are to be listed, as the query says."""
    found = _whole(request.query_params.get("limit", str(MOST)))
    if set(request.query_params) - {"limit"} or not 1 <= found <= MOST:
        raise Refusal("request", f"The query may have a limit, a number from 1 to {MOST}.")
    return found


def _number(request: Request) -> int:
    """Return the number in a path; 0, which nothing has, for what is none."""
    return _whole(request.path_params["id"])


def _whole(given: str) -> int:
    """Return a number that was written; 0 for what is none."""
    return int(given) if given.isascii() and given.isdigit() and len(given) < _DIGITS else 0


def _no_such_run() -> Refusal:
    return Refusal("request", "There is no run of this id here; GET /runs lists them.", 404)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
