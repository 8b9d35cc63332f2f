"""`toolwear runs` and what other commands print for programs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from toolwear.cli.main import app
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.lock import exclusive
from toolwear.dataset.schema import AUTO_SKLEARN, KNOWN_RUNS
from toolwear.run import run_folder
from toolwear.workspace.home import Home
from toolwear.workspace.servers import announced
from toolwear.workspace.tokens import Scope, Tokens

GOOD, WORSE, FAILED, AT_WORK, BROKEN = (f"2026010{day}T000000Z-abcdef" for day in range(1, 6))


def summary(accuracy: float, decision: str) -> dict[str, Any]:
    best = {"accuracy": accuracy, "interval": {"accuracy": [accuracy - 0.01, accuracy + 0.01]}}
    return {
        "protocols": {KNOWN_RUNS: {AUTO_SKLEARN: best}},
        "gate": {"decision": decision, "outcome": "promoted", "use": "known_runs_only"},
        "model": {"version": "1"},
        "timings": {"total": 61.2},
        "cached": ["ingest"],
    }


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    def run(name: str, **arguments: Any) -> Path:
        folder = tmp_path / name
        given = {"cause": "on_demand", "seed": 0, "data": "mill", "data_digest": "d1"} | arguments
        jsonfile.write(folder / run_folder.ARGUMENTS_FILE, given)
        return folder

    good = run(GOOD)
    jsonfile.write(good / run_folder.SUMMARY_FILE, summary(0.98, "promote_first"))
    (tmp_path / run_folder.LATEST).symlink_to(GOOD)
    worse = run(WORSE, seed=7, cause="schedule")
    jsonfile.write(worse / run_folder.SUMMARY_FILE, summary(0.9, "keep_worse"))
    run_folder.fail(run(FAILED), "ingest: no recordings")
    jsonfile.write_text(run(BROKEN) / run_folder.SUMMARY_FILE, "{}")
    with exclusive(run(AT_WORK) / ".lock", "the run", seconds=1.0):
        yield tmp_path


def said(home: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--home", str(home)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def read(home: Path, *words: str) -> Any:
    return json.loads(said(home, *words, "--json"))


def test_runs_are_listed_and_a_broken_one_is_named(home: Path) -> None:
    text = said(home, "runs", "list")
    lines = {name: line for line in text.splitlines() for name in (GOOD, FAILED) if name in line}
    assert "started by hand" in lines[GOOD]
    assert "0.9800 (0.970 to 0.990)" in lines[GOOD]
    assert "failed" in lines[FAILED]
    assert f"{BROKEN} is left out: A file in" in text
    listed = read(home, "runs", "list", "--most", "3")
    assert [one["name"] for one in listed["runs"]] == [AT_WORK, FAILED, WORSE]
    assert [one["state"] for one in listed["runs"]] == ["running", "failed", "succeeded"]
    assert listed["runs"][2]["decision"] == "keep_worse"
    assert listed["runs"][2]["figures"]["accuracy"] == {"value": 0.9, "interval": [0.89, 0.91]}
    assert list(listed["left_out"]) == [BROKEN]


def test_one_run_is_shown_with_its_steps_and_settings(home: Path) -> None:
    text = said(home, "runs", "show", "latest")
    assert GOOD in text
    assert "Accepted (first model)" in text
    assert "settings: cause=on_demand, data=mill, data_digest=d1, seed=0" in text
    assert read(home, "runs", "show", GOOD)["steps"] == [
        {"name": "ingest", "state": "cached", "seconds": 0.0, "reason": ""}
    ]
    assert read(home, "runs", "show", FAILED)["reason"] == "ingest: no recordings"
    for name, why in (("2025", "`toolwear runs list` names"), (BROKEN, "is broken")):
        with pytest.raises(ToolwearError, match=why):
            said(home, "runs", "show", name)


def test_runs_are_compared_by_figures_and_by_the_settings_that_differ(home: Path) -> None:
    text = said(home, "runs", "compare", GOOD, WORSE)
    (seeds,) = [line for line in text.splitlines() if " seed " in line]
    assert seeds.replace("│", " ").split() == ["seed", "0", "7"]
    assert "data_digest" not in text
    assert read(home, "runs", "compare", GOOD, WORSE)["differing"] == ["cause", "seed"]
    with pytest.raises(ToolwearError, match="Name 2 to 8 runs"):
        said(home, "runs", "compare", GOOD)


def test_a_run_is_cancelled_by_its_name_at_the_homes_own_trigger(home: Path) -> None:
    asked: list[tuple[str, Any]] = []
    attempts = [{"name": AT_WORK, "state": "running"}]

    class Trigger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({"runs": [{"id": "4", "attempts": attempts}], "notes": []})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.path, body["why"]))
            self.answer({"id": "4", "status": "running"})

        def answer(self, value: Any) -> None:
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    Tokens(Home.at(home)).own(Scope.OPERATE)
    words = ("runs", "cancel", AT_WORK, "--why", "wrong folder")
    with pytest.raises(ToolwearError, match="No trigger is at work"):
        said(home, *words)
    with HTTPServer(("127.0.0.1", 0), Trigger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with announced(Home.at(home), {"trigger": f"http://127.0.0.1:{server.server_port}"}):
            assert "retrain request 4 is running and is being cancelled" in said(home, *words)
            assert read(home, "status")["requests"] == [{"id": "4", "attempts": attempts}]
            attempts.clear()
            with pytest.raises(ToolwearError, match="has not started the run"):
                said(home, *words)
        server.shutdown()
    assert asked == [("/runs/4/cancel", "wrong folder")]
    with pytest.raises(ToolwearError, match=r"has ended \(failed\)"):
        said(home, "runs", "cancel", FAILED, "--why", "late")


def test_what_programs_read_is_json(home: Path) -> None:
    state = read(home, "status")
    assert state["champion"] is None
    assert (state["alerts"], state["drift"], state["requests"]) == (None, None, None)
    assert [run["name"] for run in state["runs"]] == [AT_WORK, FAILED, WORSE, GOOD]
    assert read(home, "approvals")["approvals"] == []
    assert read(home, "report")["run"] == GOOD
    assert read(home, "audit", "verify")["entries"] == 0
    secret = said(home, "tokens", "make", "line-4", "--may", "label").strip()
    (token,) = read(home, "tokens", "list")
    assert (token["name"], token["may"]) == ("line-4", "label")
    assert secret not in str(token)
