"""Monitoring: live plots from Prometheus, open alerts with their runbooks, the audit log."""

from __future__ import annotations

import re
import shutil
import time
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from serving.console import evidence, svg
from serving.console.pages.base import Console
from serving.console.parts import PartDownError
from toolwear.common.fingerprint import ROOT
from toolwear.release import audit_log, room

_SPANS = {"15m": 900, "1h": 3600, "6h": 21600, "24h": 86400}
_POINTS = 120
_ROOM_SECONDS = 60
_STYLES = ("c0", "c1", "c2", "c3")
# Title, unit, label that tells the lines apart, query; {w} is the window of the rates.
_PLOTS = (
    (
        "Traffic",
        "requests a second",
        "server",
        (
            "sum by (server) (rate(toolwear_requests_total"
            '{{endpoint=~"v1_predict|v1_explain|v2_infer"}}[{w}]))'
        ),
    ),
    (
        "Stage latency, 99th percentile",
        "seconds",
        "server",
        "histogram_quantile(0.99, sum by (server, le) (rate(toolwear_stage_seconds_bucket[{w}])))",
    ),
    (
        "Responses with a 5xx",
        "a second",
        "server",
        "sum by (server) (rate(toolwear_failures_total[{w}]))",
    ),
    (
        "Answers",
        "rows a second",
        "answer",
        "sum by (answer) (rate(toolwear_answers_total[{w}]))",
    ),
)


class MonitoringPages:
    """The routes of Monitoring."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def monitoring(self, request: Request) -> Response:
        """Show the page; what Prometheus says follows."""
        entries, broken = evidence.audit_log_of(self._console.home)
        return self._console.page(
            "monitoring.html.j2",
            entries=entries[::-1],
            told=audit_log.told,
            broken=broken,
            spans=list(_SPANS),
            span=_span(request),
        )

    def drift(self, _request: Request) -> Response:
        """Show what has drifted, by kind, and the newest windows."""
        try:
            state = self._console.parts.drift()
        except PartDownError as error:
            return self._console.page("down.html.j2", sentence=str(error))
        return self._console.page("drift.html.j2", state=state)

    def drift_report(self, request: Request) -> Response:
        """Give the monitor's page about a window."""
        try:
            page = self._console.parts.drift_report(request.path_params["window"])
        except PartDownError as error:
            return self._console.page("down.html.j2", 503, sentence=str(error))
        if page is None:
            return self._console.page("missing.html.j2", 404)
        return HTMLResponse(page)

    def room(self, _request: Request) -> Response:
        """Show what there is of what there may be on the disk, as it was within the last minute."""
        home = self._console.home
        key = ("room", int(time.time()) // _ROOM_SECONDS)
        found = self._console.kept.get(key, lambda: [one.bytes for one in room.used(home)])
        used = [
            room.Used(kind, count, room.budget(kind))
            for kind, count in zip(room.Kind, found, strict=True)
        ]
        free = shutil.disk_usage(home.root).free
        return self._console.page("room.html.j2", used=used, size=room.size, free=free)

    def plots(self, request: Request) -> Response:
        """Show the plots of a span."""
        span = _span(request)
        end = time.time()
        step = max(15.0, _SPANS[span] / _POINTS)
        window = f"{max(60, int(4 * step))}s"
        try:
            shown = [
                _plot(
                    title,
                    unit,
                    self._console.parts.series(
                        query.format(w=window), end - _SPANS[span], end, step
                    ),
                    label,
                    end,
                )
                for title, unit, label, query in _PLOTS
            ]
        except PartDownError as error:
            return self._console.page("down.html.j2", sentence=str(error))
        return self._console.page("plots.html.j2", shown=shown, span=span)

    def alerts(self, _request: Request) -> Response:
        """Show the open alerts."""
        try:
            found = self._console.parts.alerts()
        except PartDownError as error:
            return self._console.page("down.html.j2", sentence=str(error))
        books = _runbooks()
        alerts = [
            {
                "name": alert["labels"].get("alertname", ""),
                "severity": alert["labels"].get("severity", ""),
                "state": alert["state"],
                "since": alert["activeAt"][:19].replace("T", " "),
                "summary": alert["annotations"].get("summary", ""),
                "runbook": books.get(alert["labels"].get("alertname", ""), ""),
            }
            for alert in found
        ]
        return self._console.page("alerts.html.j2", alerts=alerts)


def _span(request: Request) -> str:
    asked = request.query_params.get("span", "")
    return asked if asked in _SPANS else "15m"


def _plot(
    title: str, unit: str, series: list[dict[str, Any]], label: str, end: float
) -> dict[str, Any]:
    drawn = []
    for number, one in enumerate(series):
        at = np.array([float(when) for when, _ in one["values"]])
        values = np.array([float(value) for _, value in one["values"]])
        name = one["metric"].get(label, "all")
        drawn.append(svg.Line(name, (at - end) / 60, values, _STYLES[number % len(_STYLES)]))
    drawn = [line for line in drawn if np.isfinite(line.y).any()]
    if not drawn:
        return {"title": title, "unit": unit, "plot": None, "lines": []}
    least = min(float(np.nanmin(line.y)) for line in drawn)
    most = max(float(np.nanmax(line.y)) for line in drawn)
    box = svg.Box(title, "minutes ago", unit, 460, 170, (min(0.0, least), most * 1.1 or 1.0))
    return {
        "title": title,
        "unit": unit,
        "plot": svg.lines(box, drawn),
        "lines": [
            (line.name, line.style, _last(line.y), float(np.nanmax(line.y))) for line in drawn
        ],
    }


def _last(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else None


def _runbooks() -> dict[str, str]:
    """Return each alert's section of the runbooks."""
    path = ROOT / "docs" / "runbooks.md"
    if not path.exists():  # an image holds the code without its documents
        return {}
    sections = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {title.strip(): text.strip() for title, _, text in (s.partition("\n") for s in sections)}
