"""`toolwear ui`: MLflow's own pages on a home, to look at and not to change."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from toolwear.cli.plain import plain_console
from toolwear.cli.ui import show
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.release.tracking import HERE, Beginning, Tracking
from toolwear.workspace.home import Home

RUN = "20260101T000000Z-00000a"
pytestmark = pytest.mark.process


def command(home: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "toolwear.cli", "ui", f"--home={home}", *options]


@pytest.fixture
def home(empty_registry: Path, tmp_path: Path) -> Home:
    root = tmp_path / "a home"
    root.mkdir()
    shutil.copyfile(empty_registry, root / "mlflow.db")
    return Home(root)


def test_it_shows_the_runs_changes_nothing_and_ends_with_all_its_processes(home: Home) -> None:
    card = home.root / "card.md"
    card.write_text("what it may be used for")
    tracking = Tracking(home, "", "toolwear", Beginning(RUN, {"seed": 7}, source=HERE))
    run_id = tracking.begin()
    tracking.attach({"card.md": card})
    process = subprocess.Popen(
        command(home.root, "--port=0"), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = ""
    while not (shown := re.search(r"at (http://127\.0\.0\.1:\d+);", said)):
        line = process.stdout.readline()
        assert line, said
        said += line
    started = psutil.Process(process.pid).children(recursive=True)
    assert started
    with httpx.Client(base_url=shown[1], trust_env=False, timeout=30) as client:
        assert "<title>MLflow" in client.get("/").text
        api = "/api/2.0/mlflow"
        run = client.get(f"{api}/runs/get", params={"run_id": run_id}).json()["run"]
        assert run["info"]["run_name"] == RUN
        found = client.get("/get-artifact", params={"run_id": run_id, "path": "card.md"})
        assert found.text == "what it may be used for"
        stolen = {"name": "x", "artifact_location": "file:///etc"}
        refused = client.post(f"{api}/experiments/create", json=stolen)
        assert refused.status_code == 503
        assert "readonly" in refused.json()["message"]
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert rest.strip() == "stopped"
    assert not [one for one in started if one.is_running()]


def test_what_it_cannot_show_is_a_sentence(home: Home, tmp_path: Path) -> None:
    odd = tmp_path / "100%"
    shutil.copytree(home.root, odd)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for root, wanted in (
            (home.root, f"Port {port} is taken"),
            (tmp_path, "There is no run in"),
            (odd, "move the home"),
        ):
            with pytest.raises(ToolwearError, match=wanted):
                show(root, port, plain_console())
