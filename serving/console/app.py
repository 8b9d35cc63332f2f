"""The console's web application: its routes, and the rules that every answer keeps."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.console import metrics
from serving.console.few import Few
from serving.console.pages.actions import ActionPages
from serving.console.pages.base import FOLDER, Console
from serving.console.pages.compare import ComparePages
from serving.console.pages.data import DataPages
from serving.console.pages.home import HomePages
from serving.console.pages.model import ModelPages
from serving.console.pages.monitoring import MonitoringPages
from serving.console.pages.runs import RunPages
from serving.console.pages.sheet import SheetPages
from serving.console.pages.why import WhyPages
from serving.console.parts import Addresses, Parts
from serving.console.session import Sessions
from serving.http.gate import Gate
from serving.http.server import http_server
from toolwear.common.errors import ToolwearError
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope as TokenScope
from toolwear.workspace.tokens import Tokens

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Pages that a run has written (its report, Great Expectations' docs) hold styles and pictures
# inline; they are shown in a sandbox, without scripts.
_WRITTEN = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)
# Of pages that take long: how many are made at once, and how many may wait for it. A page has up
# to seven explanations.
_COMPUTED, _EXPLAINED, _REPORTED = (3, 32), (14, 28), (2, 2)
_WRITTEN_PATHS = ("/data-docs/", "/report/", "/drift/")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guarded:
    """Puts the security headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        started = time.monotonic()
        written = path.startswith(_WRITTEN_PATHS)
        headers = {**_HEADERS, "content-security-policy": _WRITTEN if written else _POLICY}
        headers["cache-control"] = "max-age=3600" if path.startswith("/static/") else "no-store"

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in headers.items()]
                theirs = [(n, v) for n, v in message["headers"] if n.decode() not in headers]
                message["headers"] = [*theirs, *own]
                metrics.ANSWERS.labels(str(message["status"])).inc()
                metrics.SECONDS.observe(time.monotonic() - started)
            await send(message)

        await self._app(scope, receive, guarded)


def application(home: Home, addresses: Addresses) -> ASGIApp:
    """Return the application.

    Args:
        home: the system's folder.
        addresses: of the other parts.
    """
    tokens = Tokens(home)
    own = partial(tokens.own, TokenScope.OPERATE)
    own()  # before somebody looks for it
    console = Console(home, Parts(addresses, own), Sessions(Gate(tokens)))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        console.parts.close()

    def unknown(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return console.page("missing.html.j2", status)

    def failed(_request: Request, _error: Exception) -> Response:
        # What went wrong is for the log, to which Starlette hands it on, not for the page.
        return console.page("failed.html.j2", 500)

    def refused(_request: Request, error: Exception) -> Response:
        return console.page("failed.html.j2", 503, sentence=str(error))

    app = Starlette(
        routes=_routes(console),
        lifespan=lifespan,
        middleware=[
            Middleware(GZipMiddleware, minimum_size=2000),
        ],
        exception_handlers={HTTPException: unknown, ToolwearError: refused, Exception: failed},
    )
    return Guarded(app)  # outermost, so that the page of a failure has the headers too


def _routes(console: Console) -> list[Route | Mount]:
    data, model, why = DataPages(console), ModelPages(console), WhyPages(console)
    monitoring, actions, compare = (
        MonitoringPages(console),
        ActionPages(console),
        ComparePages(console),
    )
    runs = RunPages(console, actions)
    home = HomePages(console, why.ahead)
    # Each with places of its own: what waits for the explainer shall not hold up what computes.
    computed = partial(Few(*_COMPUTED).page, instead=console.busy)
    explained = partial(Few(*_EXPLAINED).page, instead=console.busy)
    reported = partial(Few(*_REPORTED).page, instead=console.busy)
    pages = {
        "/": home.home,
        "/sheet": computed(SheetPages(console).recorded),
        "/parts/strip": home.strip,
        "/parts/run": computed(home.run),
        "/data": data.data,
        "/parts/distributions": computed(data.distributions),
        "/parts/clearest": computed(data.clearest),
        "/parts/correlations": computed(data.correlations),
        "/parts/window": computed(data.window),
        "/data-docs/{path:path}": data.docs,
        "/model": model.model,
        "/parts/curves": computed(model.curves),
        "/why": computed(why.why),
        "/why/report": reported(why.report),
        "/parts/why/{method}": explained(why.part),
        "/runs": runs.runs,
        "/compare": compare.compare,
        "/parts/compared": computed(compare.compared),
        "/parts/over-runs": compare.over_runs,
        "/runs/{name}": runs.run,
        "/runs/{name}/steps/{step}": computed(runs.step),
        "/runs/{name}/files/{path:path}": runs.file,
        "/report/{name}": runs.report,
        "/monitoring": monitoring.monitoring,
        "/parts/plots": monitoring.plots,
        "/parts/alerts": monitoring.alerts,
        "/parts/drift": monitoring.drift,
        "/parts/room": monitoring.room,
        "/drift/{window}": monitoring.drift_report,
        "/operate": actions.operate,
        "/asked/{id}": actions.asked,
        "/parts/asked/{id}": actions.progress,
        "/parts/requests": actions.requests,
        "/parts/rollout": actions.rollout,
        "/healthz": _healthy,
        "/metrics": _measured,
    }
    forms = {
        "/": home.upload,
        "/sheet": home.upload_sheet,
        "/operator": actions.sign_in,
        "/operator/leave": actions.sign_out,
        "/retrain": actions.retrain,
        "/asked/{id}/cancel": actions.cancel,
        "/runs/{name}/retry": runs.retry,
        "/approvals/{id}": actions.decide,
        "/rollback": actions.rollback,
    }
    if not console.parts.addresses.front:
        del pages["/parts/rollout"]
    return [
        *(Route(path, page, methods=["GET"]) for path, page in pages.items()),
        *(Route(path, action, methods=["POST"]) for path, action in forms.items()),
        Mount("/static", StaticFiles(directory=FOLDER / "static")),
    ]


async def _measured(_request: Request) -> Response:
    return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})


async def _healthy(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def serve(home: Home, addresses: Addresses, host: str, port: int, access_log: bool) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished first."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    app = application(home, addresses)
    http_server(app, host, port, access_log=access_log).run()
