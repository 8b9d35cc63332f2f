"""`toolwear status` tells what those who watch this home say, and who of them does not answer."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from tests.ports import free_port
from toolwear.cli.plain import plain_console
from toolwear.cli.status import print_status
from toolwear.workspace.home import Home
from toolwear.workspace.servers import announced, find

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
def watchers() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    PAGES.clear()
    server.shutdown()
    server.server_close()


def status(home: Path, url: str = "") -> str:
    stream = io.StringIO()
    print_status(home, url, url, plain_console(file=stream, width=200))
    return stream.getvalue()


def test_alerts_drift_and_freshness_are_told(watchers: str, tmp_path: Path) -> None:
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
    told = status(tmp_path, watchers)
    assert "open alerts: 1" in told
    assert "ToolwearDistributionChanged since 2026-01-02T03:04:05: What comes in" in told
    assert "[data]." in told
    assert "drift: ALARM (data); data alarm" in told
    assert "1200 rows so far, 30 of them with a late label" in told


def test_who_does_not_answer_is_named(tmp_path: Path) -> None:
    told = status(tmp_path, f"http://127.0.0.1:{free_port()}")
    assert "champion: There is no champion in" in told
    assert "open alerts: unknown, Alertmanager does not answer at http://127.0.0.1:" in told
    assert "drift: unknown, the monitor does not answer" in told


def test_quiet_is_told_as_quiet(watchers: str, tmp_path: Path) -> None:
    PAGES["/api/v2/alerts"] = []
    PAGES["/v1/state"] = {
        "looked_at": time.time(),
        "alarms": [],
        "kinds": {"data": {"result": None}},
        "rows": 0,
        "labelled_rows": 0,
    }
    told = status(tmp_path, watchers)
    assert "open alerts: none" in told
    assert "drift: not judged yet, no window is full" in told


def test_a_home_without_servers_is_not_monitored_whatever_others_run(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    with announced(Home.at(other), {"monitor": "http://127.0.0.1:1"}):
        told = status(mine)
        assert "drift: unknown, the monitor does not answer at http://127.0.0.1:1" in status(other)
    assert "open alerts: not monitored; start `make watch`" in told
    assert "drift: not monitored; start `make serve`" in told


@pytest.mark.process
def test_servers_are_known_for_as_long_as_their_process_lives(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    code = (
        "import sys, time; from toolwear.workspace.home import Home; "
        "from toolwear.workspace.servers import announced\n"
        "with announced(Home.at(sys.argv[1]), {'trigger': 'http://127.0.0.1:2'}):\n"
        "    print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert find(home) == {"trigger": "http://127.0.0.1:2"}
        process.kill()
    assert list(home.servers.glob("*.json"))
    assert find(home) == {}
    with announced(home, {"trigger": "http://127.0.0.1:3"}):
        assert find(home) == {"trigger": "http://127.0.0.1:3"}
        # The number of a process that has ended may be another's by now.
        record = home.servers / f"{os.getpid()}.json"
        value = json.loads(record.read_text())
        record.write_text(json.dumps({**value, "started": value["started"] - 5}))
        assert find(home) == {}
    assert find(home) == {}


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    ours = {"TRIGGER_URL", "MONITOR_URL", "ALERTMANAGER_URL", "COLUMNS"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        [sys.executable, "-m", "toolwear.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "COLUMNS": "200"},
    )


@pytest.mark.process
def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for words in (["status"], ["report"], ["approvals"], ["backup", "x.tar.gz"], ["retrain"]):
        done = command(*words, "--home", nowhere)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"toolwear: There is no folder {nowhere}; give a home with --home.\n"
    assert not nowhere.exists()


@pytest.mark.process
def test_the_trigger_that_is_asked_is_the_homes_own(tmp_path: Path) -> None:
    for words in (["retrain"], ["cancel", "1", "--why", "no"]):
        done = command(*words, "--home", tmp_path)
        assert done.returncode == 2
        assert f"No trigger is at work in {tmp_path}; start one: toolwear trigger" in done.stderr


@pytest.mark.process
def test_the_help_names_the_variables_that_count() -> None:
    for name, variables in (
        ("status", ("MONITOR_URL", "ALERTMANAGER_URL", "TOOLWEAR_HOME")),
        ("retrain", ("TRIGGER_URL",)),
        ("cancel", ("TRIGGER_URL",)),
    ):
        shown = command(name, "--help").stdout
        assert [word for word in variables if word not in shown] == []


def test_what_is_printed_controls_no_terminal() -> None:
    stream = io.StringIO()
    console = plain_console(file=stream, width=100)
    table = Table("why")
    table.add_row("b\x1b[31mc[/]")
    console.print("a\x1b]0;title\x07 [bold]\u202e\n")
    console.print(table)
    said = stream.getvalue()
    assert not {"\x1b", "\x07", "\u202e"} & set(said)
    assert "a\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER} [bold]" in said
    assert "b\N{REPLACEMENT CHARACTER}[31mc[/]" in said
