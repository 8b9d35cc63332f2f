"""The monitor's face: its state, its reports, its metrics. It takes no orders."""

from __future__ import annotations

import re
import time
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from serving.common.described import routes
from serving.monitor import metrics, report
from serving.monitor.floor import Machine
from serving.monitor.kinds import Kind
from serving.monitor.openapi import described
from serving.monitor.service import Seen, Service
from serving.monitor.state import Window
from toolwear.common import jsonfile
from toolwear.common.thresholds import Monitor

_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_TOLD = 50  # windows in the state
_LATE_SECONDS = 60.0
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def application(service: Service, thresholds: Monitor) -> Starlette:
    """Return the application over a running service."""
    registry = metrics.registry(lambda: service.seen)

    async def state(_request: Request) -> Response:
        return JSONResponse(jsonfile.clean(told(service.seen, thresholds)), headers=_HEADERS)

    async def reports(_request: Request) -> Response:
        seen = service.seen
        alarms = [str(kind) for kind, on in seen.alarms.items() if on]
        page = await run_in_threadpool(report.listing, seen.state.windows, alarms)
        return HTMLResponse(page, headers=_HEADERS)

    async def one_report(request: Request) -> Response:
        window_id = request.path_params["id"]
        page = None
        if _ID.fullmatch(window_id):
            page = await run_in_threadpool(service.report, window_id)
        if page is None:
            return JSONResponse(
                {"error": "There is no such report; /reports/ lists those that are kept."},
                404,
                headers=_HEADERS,
            )
        return HTMLResponse(page, headers=_HEADERS)

    async def measured(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def healthy(_request: Request) -> Response:
        late = time.time() - service.seen.when > _LATE_SECONDS
        well = service.alive and not late
        return PlainTextResponse("ok" if well else "the log is not looked at", 200 if well else 503)

    async def home(_request: Request) -> Response:
        return RedirectResponse("/reports/")

    return Starlette(
        routes=[
            Route("/", home),
            Route("/v1/state", state),
            Route("/reports/", reports),
            Route("/reports/{id}", one_report),
            Route("/metrics", measured),
            Route("/healthz", healthy),
            *routes(described()),
        ]
    )


def told(seen: Seen, thresholds: Monitor) -> dict[str, Any]:
    """Return the state as JSON values."""
    state = seen.state
    champion = seen.champion
    return {
        "looked_at": seen.when,
        "champion": {
            "package": seen.package,
            "version": champion.version if champion else None,
            "since": champion.since if champion else None,
        },
        "persistence": {"alarms": thresholds.alarms, "of_windows": thresholds.of_windows},
        "alarms": [kind for kind in Kind if seen.alarms[kind]],
        "kinds": {kind: _kind(seen, kind) for kind in Kind},
        "windows": [_window(window) for window in reversed(state.windows[-_TOLD:])],
        "under_way": {
            digest: {
                "regimes": {name: tally.rows for name, tally in package.regimes.items()},
                "rows": package.quality.rows,
                "labels": package.labels.rows,
            }
            for digest, package in state.packages.items()
        },
        "machines": {name: _machine(one) for name, one in state.machines.known.items()},
        "left_out_rows": state.machines.left_out_rows,
        "rows": state.rows,
        "labelled_rows": state.labelled_rows,
        "gaps": state.gaps,
        "unmatched_labels": state.unmatched_labels,
        "unreferenced_rows": state.unreferenced_rows,
    }


def _kind(seen: Seen, kind: Kind) -> dict[str, Any]:
    windows = seen.state.of_kind(kind, seen.package)
    latest = windows[-1] if windows else None
    return {
        "alarm": seen.alarms[kind],
        "result": latest.verdicts[kind].result if latest else None,
        "score": latest.verdicts[kind].score if latest else None,
        "threshold": latest.verdicts[kind].threshold if latest else None,
        "why": latest.verdicts[kind].why if latest else "No window is full yet.",
        "scores": latest.verdicts[kind].scores if latest else {},
        "report": f"/reports/{latest.id}" if latest else None,
        "last": [window.verdicts[kind].result for window in windows[-10:]],
    }


def _machine(machine: Machine) -> dict[str, Any]:
    return {
        "recording": machine.recording,
        "seen": machine.newest[0].isoformat(),
        "last": [window.verdict for window in machine.windows],
        "share": machine.share,
        "worn": machine.worn.model_dump(mode="json") if machine.is_worn and machine.worn else None,
    }


def _window(window: Window) -> dict[str, Any]:
    return {
        "id": window.id,
        "report": f"/reports/{window.id}",
        "package": window.package,
        "about": window.about,
        "rows": window.rows,
        "first": window.first,
        "last": window.last,
        "results": {kind: verdict.result for kind, verdict in window.verdicts.items()},
    }
