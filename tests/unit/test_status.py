"""`toolwear status` tells what those who watch say, and who of them does not answer."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from components.cli.summary import print_status
from tests.ports import free_port

PAGES: dict[str, Any] = {}


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = PAGES.get(self.path.partition("?")[0])
        self.send_response(200 if found is not None else 404)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def watchers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for variable in ("MONITOR_URL", "ALERTMANAGER_URL"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{server.server_address[1]}")
    yield
    PAGES.clear()
    server.shutdown()
    server.server_close()


def status(home: Path) -> str:
    stream = io.StringIO()
    print_status(home, Console(file=stream, width=200))
    return stream.getvalue()


@pytest.mark.usefixtures("watchers")
def test_alerts_drift_and_freshness_are_told(tmp_path: Path) -> None:
    alert = {
        "labels": {"alertname": "ToolwearDistributionChanged"},
        "startsAt": "2026-01-02T03:04:05.678Z",
        "annotations": {"summary": "What comes in has changed: [data]."},
    }
    PAGES["/api/v2/alerts"] = [alert]
    PAGES["/v1/state"] = {
        "looked_at": time.time() - 7,
        "alarms": ["data"],
        "kinds": {"data": {"result": "alarm"}, "concept": {"result": None}},
        "rows": 1200,
        "labelled_rows": 30,
    }
    told = status(tmp_path)
    assert "open alerts: 1" in told
    assert "ToolwearDistributionChanged since 2026-01-02T03:04:05: What comes in" in told
    assert "[data]." in told
    assert "drift: ALARM (data); data alarm" in told
    assert "1200 rows so far, 30 of them with a late label" in told


def test_who_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("MONITOR_URL", "ALERTMANAGER_URL"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    told = status(tmp_path)
    assert "champion: none yet" in told
    assert "open alerts: unknown, Alertmanager does not answer at http://127.0.0.1:" in told
    assert "drift: unknown, the monitor does not answer" in told


@pytest.mark.usefixtures("watchers")
def test_quiet_is_told_as_quiet(tmp_path: Path) -> None:
    PAGES["/api/v2/alerts"] = []
    PAGES["/v1/state"] = {
        "looked_at": time.time(),
        "alarms": [],
        "kinds": {"data": {"result": None}},
        "rows": 0,
        "labelled_rows": 0,
    }
    told = status(tmp_path)
    assert "open alerts: none" in told
    assert "drift: no alarm; no window is full yet" in told
