"""How a run stands, told in the same words wherever it is shown."""

from __future__ import annotations

import io
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.console import evidence
from tests.conftest import run_command
from tests.trigger.conftest import end_runs_of, service_of
from tests.trigger.service import Service, wait_for
from toolwear.cli.plain import plain_console
from toolwear.cli.status import print_status
from toolwear.common.fingerprint import ROOT
from toolwear.common.states import State
from toolwear.release import registry as tags
from toolwear.release.registry import Registry
from toolwear.run import run_folder
from toolwear.run.run_folder import ending
from toolwear.workspace.home import Home

__all__ = ["service_of"]
REASON = "the wrong folder"
pytestmark = pytest.mark.timeout(900)


def started(home: Path) -> Path:
    """Wait until a step of the home's run is at work, and return the run's folder."""
    wait_for(lambda: list(home.glob("2*/events/*.json")), 300)
    (folder,) = home.glob("2*")
    return folder


def shown(home: Path) -> str:
    stream = io.StringIO()
    print_status(home, "", "", plain_console(file=stream, width=200))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("number", "state", "reason"),
    [
        (signal.SIGINT, State.CANCELLED, "Ctrl-C"),
        (signal.SIGTERM, State.KILLED, run_folder.KILLED_REASON),
        (signal.SIGKILL, State.KILLED, run_folder.KILLED_REASON),
    ],
)
def test_a_run_that_is_ended_has_one_state_everywhere(
    real_data: Path, tmp_path: Path, number: int, state: State, reason: str
) -> None:
    process = subprocess.Popen(
        run_command(real_data, tmp_path), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    folder = started(tmp_path)
    assert ending(folder).state is State.RUNNING
    assert {step.state for step in evidence.Run(folder).steps().values()} == {State.RUNNING}
    assert f" {State.RUNNING} " in shown(tmp_path)
    process.send_signal(number)
    said, _ = process.communicate(timeout=300)
    end_runs_of(tmp_path)
    assert ending(folder) == (state, reason)
    run = evidence.Run(folder)
    (step,) = run.steps().values()
    assert (step.state, step.reason) == (state, reason)
    assert run.row()["state"] == state
    assert f" {state} " in shown(tmp_path)
    client = Registry(Home.at(tmp_path), "", "toolwear").client
    (found,) = client.search_runs(["1"], f"tags.`{tags.RUN}` = '{folder.name}'")
    if number != signal.SIGKILL:  # else the next run says it
        assert (found.info.status, found.data.tags[tags.REASON]) == ("KILLED", reason)
        assert f"{state}: {reason}" in said
        page = (folder / "failure.html").read_text()
        assert f"The run was {state}" in page
        assert reason in page


def test_data_that_is_refused_fails_the_run(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.csv").write_text("No,material\n1,wax\n")
    home = tmp_path / "home"
    done = subprocess.run(run_command(data, home), cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 2
    (folder,) = home.glob("2*")
    state, reason = ending(folder)
    assert state is State.FAILED
    assert reason == evidence.Run(folder).steps()["ingest"].reason
    assert f" {State.FAILED} " in shown(home)


def test_a_cancelled_request_cancels_its_run_everywhere(
    service_of: Callable[..., Service],
    real_data: Path,
) -> None:
    service = service_of(run_command="", settings=(f"data={real_data}",))
    request = service.ask(parameters={"fast": True})
    folder = started(service.home)
    wait_for(lambda: service.run(request)["steps"])
    assert service.post(f"/runs/{request}/cancel", {"why": REASON}).status_code == 202
    told = service.ends(request, State.CANCELLED, 120)
    assert [(a["state"], a["reason"]) for a in told["attempts"]] == [(State.CANCELLED, REASON)]
    assert [(s["state"], s["reason"]) for s in told["steps"]] == [(State.CANCELLED, REASON)]
    assert ending(folder) == (State.CANCELLED, REASON)
    (run,) = evidence.runs(Home.at(service.home))
    assert (run.state, run.arguments["search_seconds"]) == (State.CANCELLED, 30)
    assert "The run was cancelled" in (folder / "failure.html").read_text()
    assert f" {State.CANCELLED} " in shown(service.home)
