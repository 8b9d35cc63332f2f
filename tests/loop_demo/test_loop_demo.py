"""The loop from the outside: each step as the parts themselves show it, with the trigger killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.programs import program
from tests.serving.conftest import environment
from tools.loop_demo import deliver, parts
from tools.loop_demo.__main__ import ADDRESSES
from tools.loop_demo.eyes import Eyes
from tools.loop_demo.plans import DRIFT, PLANS, Delivery
from tools.loop_demo.story import MissingStepError, Story
from tools.loop_demo.timeline import EVENTS, PICTURE, Step, Timeline
from tools.replay.recordings import read
from tools.replay.scenarios import SCENARIOS
from toolwear.common.causes import Cause
from toolwear.common.fingerprint import ROOT
from toolwear.common.states import ENDED, State
from toolwear.dataset import schema
from toolwear.release import audit_log
from toolwear.release import champion as pointer
from toolwear.release.registry import CANDIDATE, CHAMPION, Registry
from toolwear.release.registry_state import MODEL_NAME
from toolwear.release.rollout import Result
from toolwear.workspace.home import Home

SCENARIO = "other_feed"
PATIENCE = 4.0  # times what each step is given where nothing else is at work


@dataclass
class Seen:
    """What the parts have shown while the loop went on."""

    firing: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    shares: list[int] = field(default_factory=list)
    killed: int = 0


@dataclass
class Demo:
    """The demonstration at work in a process of its own."""

    process: subprocess.Popen[bytes]
    folder: Path
    output: Path

    def watch(self) -> Seen:
        """Ask the parts until it has ended; kill the trigger once its run is at work."""
        seen = Seen()
        with httpx.Client(timeout=10, trust_env=False) as client:
            while self.process.poll() is None:
                with suppress(httpx.TransportError, FileNotFoundError, ValueError):
                    self._look(client, seen)
                time.sleep(0.5)
        return seen

    def _look(self, client: httpx.Client, seen: Seen) -> None:
        at = json.loads((self.folder / ADDRESSES).read_text())
        alerts = client.get(f"{at['prometheus']}/api/v1/alerts").json()["data"]["alerts"]
        seen.firing |= {a["labels"]["alertname"] for a in alerts if a["state"] == "firing"}
        told = client.get(f"{at['alertmanager']}/api/v2/alerts").json()
        seen.told |= {alert["labels"]["alertname"] for alert in told}
        rollout = client.get(f"{at['front']}/rollout").json()
        if rollout["running"] and rollout["weights"][CANDIDATE] not in (0, *seen.shares):
            seen.shares.append(rollout["weights"][CANDIDATE])
        runs = client.get(f"{at['trigger']}/runs").json()["runs"]
        seen.runs |= {run["id"]: run for run in runs}
        if not seen.killed and any(run["status"] == "running" for run in runs):
            seen.killed = self._kill("serving.trigger")

    def _kill(self, module: str) -> int:
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if module in child.cmdline():
                child.kill()
                return child.pid
        return 0


@pytest.fixture
def demo(trained_home: Path, real_data: Path, tmp_path: Path) -> Iterator[Demo]:
    for name in ("prometheus", "prometheus-alertmanager"):
        program(name)
    options = {
        "data": real_data,
        "home": trained_home,
        "scenario": SCENARIO,
        "output": tmp_path,
        "patience": PATIENCE,
    }
    output = tmp_path / "output.txt"
    with output.open("w") as stream:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tools.loop_demo"),
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            cwd=ROOT,
            env=environment(),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Demo(process, tmp_path / SCENARIO, output)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(120)


@pytest.mark.timeout(1800)
def test_a_shift_becomes_one_run_and_a_canary_that_ends(demo: Demo) -> None:
    seen = demo.watch()
    output = demo.output.read_text()
    assert demo.process.returncode == 0, output
    home = Home.at(demo.folder / "home")
    # What it tells itself, step by step.
    events = [json.loads(line) for line in (demo.folder / EVENTS).read_text().splitlines()]
    steps = list(dict.fromkeys(event["step"] for event in events))
    assert steps == [step.value for step in Step], output
    assert all(f"{step:<13}" in output for step in steps)
    assert (demo.folder / PICTURE).stat().st_size > 10_000
    # Prometheus, Alertmanager, trigger and front.
    assert DRIFT in seen.firing & seen.told
    assert seen.killed, "the trigger was to be killed while its run was at work"
    (run,) = [run for run in seen.runs.values() if run["attempts"]]
    assert (run["cause"], len(run["attempts"])) == (Cause.DISTRIBUTION_CHANGE, 1)
    assert seen.shares[:1] == [10]
    # The audit log.
    first, vouched, started, *middle, ended = audit_log.entries(home)
    assert (first["action"], vouched["action"]) == (audit_log.PROMOTE, audit_log.VOUCH)
    assert started["action"] == "canary_start"
    assert started["cause"].startswith(f"{Cause.DISTRIBUTION_CHANGE}: {DRIFT}: ")
    assert {entry["action"] for entry in middle} <= {"canary_stage"}
    assert {entry["rollout"] for entry in (started, *middle, ended)} == {started["rollout"]}
    # The registry, the pointer that the servers follow, and the rollout agree.
    registry = Registry(home, "", MODEL_NAME)
    champion, pointed = registry.at(CHAMPION), pointer.read(home.root)
    rollout = json.loads((home.root / "rollout.json").read_text())
    promoted = rollout["result"] == Result.PROMOTED
    assert ended["action"] == (audit_log.PROMOTE if promoted else "canary_rolled_back")
    assert champion is not None
    assert pointed is not None
    assert champion.number == pointed.version == (rollout["version"] if promoted else "1")
    assert registry.at(CANDIDATE) is None
    assert len(registry.client.search_model_versions()) == 2
    assert _left_running(demo.folder) == []


def _left_running(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(folder) in line:
            found.append(line)
    return found


def test_recordings_are_delivered_as_the_scenario_makes_them(
    real_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    deliver.begin(real_data, folder, ("01", "13"))
    assert [item.run_id for item in read(folder)] == ["01", "13"]
    scenario = SCENARIOS["mains_down"]
    served = read(real_data, ("12", "13"))
    new = deliver.deliver(real_data, folder, Delivery.RECORDINGS, scenario, served)
    assert new == ["12", "14"], "a run that is there already comes under a new number"
    found = {item.run_id: item for item in read(folder)}
    assert [(run, item.worn) for run, item in found.items()] == [
        ("01", False),
        ("12", False),
        ("13", True),
        ("14", True),
    ]
    column = "X1_OutputCurrent"
    assert found["12"].rows[column].equals(served[0].rows[column])
    difference = found["14"].rows[column] - found["13"].rows[column]
    assert difference.to_numpy() == pytest.approx(-2.0)


def test_what_is_as_it_was_to_the_digits_of_a_recording_is_not_delivered_again(
    real_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    deliver.begin(real_data, folder, ("13",))
    served = read(real_data, ("13",))
    (new,) = deliver.deliver(
        real_data, folder, Delivery.RECORDINGS, SCENARIOS["tool_lower"], served
    )
    rows = {item.run_id: item.rows for item in read(folder)}
    column = "Z1_ActualPosition"
    home = rows["13"][column] > 100
    assert 0 < home.sum() < len(rows["13"]) / 10
    assert (rows["13"][column].max(), rows[new][column].max() < 100) == (119, True)
    assert len(rows[new]) > 0.9 * (~home).sum()


def test_flipped_labels_are_delivered_for_the_runs_that_were_served(
    real_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    deliver.begin(real_data, folder, ())
    scenario, served = SCENARIOS["flipped_labels"], read(real_data, ("12", "13"))
    assert deliver.deliver(real_data, folder, Delivery.FLIPPED_LABELS, scenario, served) == []
    before = {item.run_id: item.worn for item in read(real_data)}
    after = {item.run_id: item.worn for item in read(folder)}
    assert {run for run in before if before[run] != after[run]} == {"12", "13"}


def test_a_part_that_has_ended_is_told_instead_of_waited_for(tmp_path: Path) -> None:
    serve = subprocess.Popen(
        [sys.executable, "-c", "print('the port is taken'); raise SystemExit(3)"]
    )
    serve.wait()
    log = tmp_path / "serve.log"
    log.write_text("the port is taken\n")
    running = parts.Parts(Home.at(tmp_path), 1, 2, 3, lambda: parts.ended(serve, log, ()))
    eyes, timeline = Eyes(running), Timeline(tmp_path, lambda _said: None)
    nothing: Any = None
    story = Story(PLANS[SCENARIO], eyes, nothing, timeline, tmp_path, tmp_path, {}, nothing)
    with pytest.raises(MissingStepError, match="toolwear serve ended with 3: the port is taken"):
        story._wait(Step.HEALTHY, "it is well", lambda: None, 600)
    eyes.close()


@pytest.mark.parametrize("state", State)
def test_a_run_has_ended_in_each_state_that_the_product_calls_an_end(state: State) -> None:
    assert Eyes.ended({"status": str(state)}) == (state in ENDED)


def test_each_scenario_has_a_plan_whose_runs_are_recorded() -> None:
    assert set(PLANS) == set(SCENARIOS)
    recorded = {schema.run_id(number) for number in range(1, 19)}
    for plan in PLANS.values():
        assert {*plan.taught, *plan.healthy, *plan.shifted} <= recorded
        assert not plan.refused or plan.cause is not None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--data=nowhere"], "There is no folder"),
        (["--data={data}", "--home=nowhere"], "was not trained on runs 01 to 18"),
    ],
    ids=["data", "home"],
)
def test_faults_of_the_caller_are_one_sentence(
    real_data: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    for name in ("prometheus", "prometheus-alertmanager"):
        program(name)
    given = [option.format(data=real_data) for option in options]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tools.loop_demo", "--scenario=mains_down"),
            *(f"--output={tmp_path}", *given),
        ],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
