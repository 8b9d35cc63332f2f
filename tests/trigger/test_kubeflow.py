"""The trigger over Kubeflow Pipelines' API: runs, recurring runs, outages and kills."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubeflow.stub import Kubeflow, serving
from tests.trigger.service import HTTP, Service, wait_for
from toolwear.cli.graph import compile_training
from toolwear.run import kubeflow as client
from toolwear.run.kubeflow import Origin

Over = Callable[..., Service]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Origin]:
    path = tmp_path_factory.mktemp("graph") / "training.yaml"
    return path, Origin("c0ffee", compile_training(path))


@pytest.fixture
def kubeflow(package: tuple[Path, Origin]) -> Iterator[Kubeflow]:
    with serving() as stub:
        client.Kubeflow(stub.url).upload(package[0], "v1", package[1])
        yield stub


@pytest.fixture
def over(service_of: Callable[..., Service], kubeflow: Kubeflow) -> Over:
    """Return a trigger whose runs are done there."""

    def make(*options: str, settings: tuple[str, ...] = ()) -> Service:
        return service_of(f"--kfp_host={kubeflow.url}", *options, settings=settings)

    return make


def goes(kubeflow: Kubeflow, *states: str) -> None:
    """Let the newest run take these states."""
    kubeflow.plans[kubeflow.runs[-1]["run_id"]] = ["", *states]


def test_a_cause_becomes_a_run_of_the_newest_version(
    over: Over, kubeflow: Kubeflow, package: tuple[Path, Origin]
) -> None:
    service = over(settings=("permutations=7",))
    cause = service.ask(detail="a new insert", parameters={"seed": 3})
    told = service.ends(cause)
    (run,), (attempt,) = kubeflow.runs, told["attempts"]
    assert run["display_name"] == attempt["name"]
    assert run["runtime_config"]["parameters"] == {
        "permutations": 7,
        "seed": 3,
        "cause": f"on_demand: a new insert (trigger {cause})",
        "commit": "c0ffee",
        "graph_digest": package[1].graph_digest,
    }
    (step,) = told["steps"]
    assert (step["step"], step["state"]) == ("Read the recordings", "succeeded")
    assert step["seconds"] is not None

    kubeflow.plan = ["RUNNING", "FAILED"]
    failed = service.ends(service.ask(), "failed")
    (attempt,) = failed["attempts"]
    assert attempt["reason"] == ("Kubeflow Pipelines says FAILED: Read the recordings: exit code 2")
    assert service.metric('toolwear_runs_total{outcome="failed"}') == 1


def test_a_run_takes_the_recordings_of_the_last_that_succeeded(
    over: Over, kubeflow: Kubeflow
) -> None:
    by_hand = client.Kubeflow(kubeflow.url)

    def given(**parameters: Any) -> None:
        kubeflow.plan = [parameters.pop("ends", "SUCCEEDED")]
        made = by_hand.start(f"by hand {len(kubeflow.runs)}", by_hand.version(), parameters)
        by_hand.look(made)

    given(data="/mnt/site", window=60, seed=4, accept_runs="run_01", cause="on_demand: the site")
    given(data="/mnt/broken", ends="FAILED")
    kubeflow.plan = ["SUCCEEDED"]
    service = over("--schedule=0 3 * * *", settings=("seed=5",))
    service.ends(service.ask(parameters={"window": 70}))
    wait_for(lambda: kubeflow.recurring)
    taken = kubeflow.runs[-1]["runtime_config"]["parameters"]
    assert (taken["data"], taken["window"], taken["seed"]) == ("/mnt/site", 70, 5)
    assert "accept_runs" not in taken
    # What one request said is its own: the next run is as the last of a person's again.
    service.ends(service.ask())
    assert kubeflow.runs[-1]["runtime_config"]["parameters"]["window"] == 60
    (recurring,) = kubeflow.recurring
    assert recurring["runtime_config"]["parameters"]["data"] == "/mnt/site"
    assert HTTP.get(f"{service.url}/retrain").json()["parameters"]["data"] == "/mnt/site"
    # Where only ours are left in the list, one of ours tells it.
    for run in kubeflow.runs[:2]:
        run["state"] = "FAILED"
    service.ends(service.ask(parameters={"data": "/mnt/other"}))
    service.ends(service.ask())
    assert kubeflow.runs[-1]["runtime_config"]["parameters"]["data"] == "/mnt/other"
    kubeflow.away = True
    assert HTTP.get(f"{service.url}/retrain").status_code == 503
    kubeflow.away = False


def test_killed_or_cut_off_at_any_moment_it_starts_one_run(over: Over, kubeflow: Kubeflow) -> None:
    service = over()
    kubeflow.plan = ["RUNNING"]
    kubeflow.lose = 1  # the run is there, and its trigger was not told
    cause = service.ask()
    wait_for(lambda: kubeflow.runs)
    for _ in range(2):
        service.kill()
        service.start()
    wait_for(lambda: service.run(cause)["attempts"][0]["state"] == "running")
    kubeflow.away = True
    wait_for(lambda: "asking again in" in service.log.read_text())
    told = service.run(cause)
    assert (told["status"], "does not answer" in told["note"]) == ("running", True)
    goes(kubeflow, "SUCCEEDED")
    kubeflow.away = False
    assert len(service.ends(cause)["attempts"]) == 1
    assert len(kubeflow.runs) == 1


def test_a_run_is_cancelled_there_too(over: Over, kubeflow: Kubeflow) -> None:
    service = over()
    kubeflow.plan = ["RUNNING"]
    cause = service.ask()
    wait_for(lambda: kubeflow.runs)
    assert service.post(f"/runs/{cause}/cancel", {"why": "a mistake"}).status_code == 202
    (attempt,) = service.ends(cause, "cancelled")["attempts"]
    assert attempt["reason"] == "a mistake"
    assert kubeflow.runs[0]["state"] == "CANCELED"
    assert [asked.endswith(":terminate") for asked in kubeflow.asked].count(True) == 1


def test_a_cause_waits_for_a_version_and_for_runs_of_others(
    over: Over, kubeflow: Kubeflow, package: tuple[Path, Origin]
) -> None:
    by_hand = client.Kubeflow(kubeflow.url)
    kubeflow.plan = ["RUNNING"]
    by_hand.start("by hand", by_hand.version(), {"cause": "on_demand: a person"})
    versions, kubeflow.versions = kubeflow.versions, []
    service = over()
    wait_for(lambda: service.metric("toolwear_run_in_progress") == 1)
    cause = service.ask()
    kubeflow.plan = ["SUCCEEDED"]
    goes(kubeflow, "SUCCEEDED")
    by_hand.look(kubeflow.runs[0]["run_id"])
    wait_for(lambda: "upload it first" in service.log.read_text())
    assert [run["status"] for run in service.runs()] == ["succeeded", "running"]
    assert service.runs()[0]["text"] == "on_demand: a person (trigger 2)"
    kubeflow.versions = versions
    service.ends(cause)
    assert len(kubeflow.runs) == 2


def test_a_recurring_run_is_set_followed_and_taken_away(
    over: Over, kubeflow: Kubeflow, package: tuple[Path, Origin]
) -> None:
    service = over("--schedule=0 3 * * *", settings=("seed=4",))
    wait_for(lambda: kubeflow.recurring)
    (recurring,) = kubeflow.recurring
    given = recurring["runtime_config"]["parameters"]
    assert (given["seed"], given["cause"]) == (4, "schedule: toolwear-trigger")
    assert service.metric("toolwear_schedule_next_timestamp_seconds") % 86400 == 3 * 3600

    kubeflow.plan = ["RUNNING"]
    fired = kubeflow.fire(recurring)
    wait_for(lambda: service.metric("toolwear_run_in_progress") == 1)
    cause = service.ask(detail="waits for the schedule's run")
    kubeflow.plan = ["SUCCEEDED"]
    kubeflow.become(fired, "SUCCEEDED")
    service.ends(cause)
    told = {run["cause"]: run for run in service.runs()}
    assert told["schedule"]["status"] == "succeeded"
    assert told["schedule"]["attempts"][0]["name"] == fired["run_id"]
    assert told["schedule"]["attempts"][0]["ended"] <= told["on_demand"]["attempts"][0]["started"]
    assert service.run(told["schedule"]["id"])["steps"][0]["state"] == "succeeded"
    assert service.metric('toolwear_runs_total{outcome="succeeded"}') == 2

    service.kill()
    client.Kubeflow(kubeflow.url).upload(package[0], "v2", package[1])
    service.start()
    newest = kubeflow.versions[-1]["pipeline_version_id"]
    wait_for(
        lambda: (
            [
                item["pipeline_version_reference"]["pipeline_version_id"]
                for item in kubeflow.recurring
            ]
            == [newest]
        )
    )
    assert len(service.runs()) == 2
    service.kill()
    service.options = tuple(o for o in service.options if not o.startswith("--schedule"))
    service.start()
    wait_for(lambda: kubeflow.recurring == [])
    assert service.metric("toolwear_schedule_next_timestamp_seconds") == 0
