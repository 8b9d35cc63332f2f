"""Killed outright at any stage, the trigger gives each cause exactly one run."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from serving.trigger import launch
from tests.serving.conftest import environment
from tests.trigger.service import FAKE_RUN, TOKEN, Service, wait_for
from toolwear.common.fingerprint import ROOT
from toolwear.release import audit_log
from toolwear.workspace.home import Home

ServiceOf = Callable[..., Service]
LAUNCHER, RUN = "launcher", "run"


def process_of(service: Service, part: str) -> psutil.Process:
    """Return the launcher or the run at work in the service's home."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        launcher = "serving.trigger.launch" in line
        if "--name=" in line and str(service.home) in line and launcher == (part == LAUNCHER):
            found.append(process)
    (one,) = found
    return one


def test_killed_once_the_cause_is_accepted(service_of: ServiceOf) -> None:
    service = service_of()
    service.hold()
    first = service.ask(detail="at work")
    wait_for(lambda: service.starts())
    second = service.ask(detail="accepted")
    service.kill()
    service.start()
    service.release()
    for cause in (first, second):
        assert len(service.ends(cause)["attempts"]) == 1
    assert len(service.starts()) == 2


def test_killed_between_the_promise_of_a_run_and_its_start(service_of: ServiceOf) -> None:
    service = service_of()
    service.hold()
    service.ask()
    wait_for(lambda: service.starts())
    cause = service.ask(detail="promised")
    service.kill()
    service.release()
    with sqlite3.connect(service.home / "trigger" / "trigger.db") as database:
        database.execute("UPDATE runs SET state = 'succeeded', ended = 1")
        database.execute("UPDATE causes SET state = 'running' WHERE id = ?", (cause,))
        database.execute(
            "INSERT INTO runs (name, cause_id, attempt, state, started) "
            "VALUES ('20260101T000000Z-abcdef', ?, 1, 'starting', 1)",
            (cause,),
        )
    database.close()
    service.start()
    told = service.ends(cause)
    assert [attempt["name"] for attempt in told["attempts"]] == ["20260101T000000Z-abcdef"]
    assert [start["name"] for start in service.starts()].count("20260101T000000Z-abcdef") == 1


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.25, 0.5])
def test_killed_while_the_run_starts(service_of: ServiceOf, delay: float) -> None:
    service = service_of()
    cause = service.ask()
    time.sleep(delay)
    service.kill()
    service.start()
    assert len(service.ends(cause)["attempts"]) == 1
    assert len(service.starts()) == 1


def test_killed_while_the_run_works_or_ends(service_of: ServiceOf) -> None:
    service = service_of()
    service.hold()
    cause = service.ask()
    wait_for(lambda: service.starts())
    for _ in range(2):
        service.kill()
        service.start()
    assert service.run(cause)["status"] == "running"
    service.kill()
    service.release()  # ends while nobody looks
    wait_for(lambda: list(service.home.glob("trigger/runs/*/exit.json")))
    service.start()
    assert len(service.ends(cause)["attempts"]) == 1
    assert len(service.starts()) == 1


@pytest.mark.parametrize("part", [RUN, LAUNCHER])
def test_a_run_that_is_killed_is_tried_once_more(service_of: ServiceOf, part: str) -> None:
    service = service_of()
    service.hold()
    cause = service.ask()
    for attempts in (1, 2):
        wait_for(lambda n=attempts: len(service.starts()) == n)  # type: ignore[misc]
        process_of(service, part).kill()
    told = service.ends(cause, "killed")
    assert [attempt["state"] for attempt in told["attempts"]] == ["killed", "killed"]
    assert all("killed" in attempt["reason"] for attempt in told["attempts"])
    assert len({start["name"] for start in service.starts()}) == 2
    assert len({start["cause"] for start in service.starts()}) == 1
    assert service.metric('toolwear_runs_total{outcome="killed"}') == 2


def test_a_run_and_its_trigger_killed_together(service_of: ServiceOf) -> None:
    service = service_of()
    service.hold()
    cause = service.ask()
    wait_for(lambda: service.starts())
    service.kill()
    process_of(service, RUN).kill()
    service.release()
    service.start()
    told = service.ends(cause)
    assert [attempt["state"] for attempt in told["attempts"]] == ["killed", "succeeded"]


def test_a_run_killed_after_its_decision_is_not_repeated(service_of: ServiceOf) -> None:
    service = service_of()
    service.hold()
    cause = service.ask()
    wait_for(lambda: service.starts())
    entry = {"action": "promote", "model": "toolwear", "from": None, "to": "1"}
    text = service.run(cause)["text"]
    audit_log.append(Home(service.home), cause=text, who="a", why="b", **entry)
    process_of(service, RUN).kill()
    told = service.ends(cause, "failed")
    assert [attempt["reason"] for attempt in told["attempts"]] == [
        "it was killed after its decision (promote)"
    ]
    assert len(service.starts()) == 1


def test_whoever_waits_for_a_run_does_not_notice(service_of: ServiceOf) -> None:
    service = service_of()
    service.hold()
    command = [sys.executable, "-m", "toolwear.cli", "retrain", f"--home={service.home}"]
    with subprocess.Popen(
        [*command, f"--url={service.url}", "--wait"],
        env={**environment(), "TOOLWEAR_OPERATOR_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        text=True,
    ) as waiting:
        wait_for(lambda: service.starts())
        service.kill()
        service.start()
        service.release()
        said, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert said.endswith("run succeeded\n")
    assert len(service.starts()) == 1


def test_a_home_has_one_trigger(service_of: ServiceOf) -> None:
    service = service_of()
    done = subprocess.run(
        [sys.executable, "-m", "serving.trigger", f"--home={service.home}", "--http_port=0"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Another process is running the trigger" in done.stderr
    assert "Traceback" not in done.stderr


def test_ten_launchers_of_one_folder_run_its_command_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = [*FAKE_RUN.split(), f"--home={home}", "--name=20260101T000000Z-abcdef"]
    folder = tmp_path / "run"
    launchers = [
        subprocess.Popen(
            [sys.executable, "-m", "serving.trigger.launch", str(folder), *command],
            cwd=ROOT,
            env=environment(),
        )
        for _ in range(10)
    ]
    assert [process.wait(60) for process in launchers] == [0] * 10
    assert len((home / "starts").read_text().splitlines()) == 1
    assert launch.look(folder) == launch.Seen(claimed=True, at_work=False, code=0)


def test_no_process_of_a_run_outlives_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    straggler = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    program = (
        "import subprocess, sys, time; "
        f"subprocess.Popen([sys.executable, '-c', {straggler!r}]); time.sleep(1)"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "serving.trigger.launch",
            str(folder),
            sys.executable,
            "-c",
            program,
        ],
        cwd=ROOT,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0
    pid = int((folder / launch.LOG).read_text())
    assert launch.look(folder).code == 0
    wait_for(lambda: not psutil.pid_exists(pid) or is_zombie(pid))


def is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
