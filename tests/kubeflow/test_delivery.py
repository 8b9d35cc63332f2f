"""`toolwear kfp` with the real client: versions, schedules and runs, each made once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.kubeflow.conftest import Command
from tests.kubeflow.stub import Kubeflow
from tests.manifests.schemas import CRDS, faults
from toolwear.cli.graph import graph_digest
from toolwear.cli.main import app
from toolwear.common.errors import ToolwearError
from toolwear.common.person import who
from toolwear.run import kubeflow as client
from toolwear.run.config import RunParameters
from toolwear.run.kubeflow import KubeflowDownError, Origin


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for the state of runs without the pauses that a server is owed."""
    monkeypatch.setattr(client, "POLL_SECONDS", 0.02)


def test_a_version_is_uploaded_once_and_tells_where_it_is_from(
    kubeflow: Kubeflow, kfp: Command, tmp_path: Path
) -> None:
    first, second = kfp("upload", "--version=v1"), kfp("upload", "--version=v1")
    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert "version v1: uploaded, graph" in first.output
    assert "version v1: was there already" in second.output
    (pipeline,), (version,) = kubeflow.pipelines, kubeflow.versions
    assert (pipeline["name"], version["name"]) == ("toolwear-training", "v1")
    (spec,) = kubeflow.specs.values()
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(spec))
    assert Origin.of(version["description"]).graph_digest[:12] in first.output
    assert set(spec["root"]["inputDefinitions"]["parameters"]) >= set(RunParameters.model_fields)

    version["description"] = Origin("c", "another").described()
    other = kfp("upload", "--version=v1")
    assert other.exit_code != 0
    assert isinstance(other.exception, ToolwearError)
    assert "Version v1 of toolwear-training" in str(other.exception)
    assert "another graph" in str(other.exception)
    assert len(kubeflow.versions) == 1


def test_the_graph_that_scores_has_versions_schedules_and_runs_of_its_own(
    kubeflow: Kubeflow, kfp: Command
) -> None:
    own = ("--graph=scoring", "--version=v1", "--data=s3://mill/night", "--set=target=s3://mill/v")
    done = kfp("run", *own), kfp("schedule", "0 6 * * *", *own), kfp("schedule", "0 6 * * *", *own)
    assert [one.exit_code for one in done] == [0, 0, 0], done
    assert "was so already" in done[2].output
    (pipeline,), (run,), (recurring,) = kubeflow.pipelines, kubeflow.runs, kubeflow.recurring
    (experiment,) = kubeflow.experiments
    assert pipeline["name"] == experiment["display_name"] == "toolwear-scoring"
    asked = {"data": "s3://mill/night", "settings": "", "dataset": "", "target": "s3://mill/v"}
    assert run["runtime_config"]["parameters"] == asked
    assert recurring["runtime_config"]["parameters"] == asked
    assert "taken away" in kfp("unschedule", "--graph=scoring").output
    for wrong, sentence in (
        (("--data=night",), "whole path, from the root"),
        (("--data=/night", "--set=seed=3"), "'seed' is wrong"),
        (("--data=/night", "--fast"), "of runs that train"),
    ):
        refused = kfp("run", "--graph=scoring", "--version=v1", *wrong)
        assert sentence in str(refused.exception)


def test_a_version_is_named_by_the_commit_and_never_by_unsaved_changes(
    kubeflow: Kubeflow, kfp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr("toolwear.cli.kubeflow.commit", lambda: sha)
    assert kfp("upload").exit_code == 0
    (version,) = kubeflow.versions
    assert (version["name"], Origin.of(version["description"]).commit) == (sha, sha)
    monkeypatch.setattr("toolwear.cli.kubeflow.commit", lambda: f"{sha}-dirty")
    dirty = kfp("upload")
    assert isinstance(dirty.exception, ToolwearError)
    assert "does not name what would be released" in str(dirty.exception)
    assert len(kubeflow.versions) == 1


def test_two_that_upload_at_once_have_one_version(kubeflow: Kubeflow, tmp_path: Path) -> None:
    from toolwear.cli.graph import compile_training

    package = tmp_path / "training.yaml"
    origin = Origin("c", compile_training(package))
    clients = [client.Kubeflow(kubeflow.url) for _ in range(2)]
    clients[0].upload(package, "v0", origin)
    seen = clients[1]._version
    clients[1]._version = lambda *_: None  # type: ignore[method-assign]

    def meanwhile() -> None:  # the other one has it by the time that this one looks again
        clients[0].upload(package, "v1", origin)
        clients[1]._version = seen  # type: ignore[method-assign]

    upload = clients[1]._client.upload_pipeline_version

    def slower(*arguments: Any, **more: Any) -> Any:
        meanwhile()
        return upload(*arguments, **more)

    clients[1]._client.upload_pipeline_version = slower
    version = clients[1].upload(package, "v1", origin)
    assert not version.made
    assert [item["name"] for item in kubeflow.versions] == ["v0", "v1"]


def test_a_schedule_is_set_once_and_replaced_by_another(kubeflow: Kubeflow, kfp: Command) -> None:
    first = kfp("schedule", "0 3 * * *", "--version=v1", "--set=seed=3")
    again = kfp("schedule", "0 3 * * *", "--version=v1", "--set=seed=3")
    assert (first.exit_code, again.exit_code) == (0, 0), first.output
    assert ("0 3 * * * UTC, set" in first.output, "was so already" in again.output) == (True, True)
    (recurring,) = kubeflow.recurring
    assert recurring["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert (recurring["no_catchup"], recurring["max_concurrency"]) == (True, 1)
    assert recurring["mode"] == "ENABLE"
    given = recurring["runtime_config"]["parameters"]
    assert (given["seed"], given["cause"]) == (3, "schedule")
    origin = Origin.of(kubeflow.versions[0]["description"])
    assert {name: given[name] for name in origin.lineage} == origin.lineage

    kubeflow.recurring.append({**recurring, "recurring_run_id": "left-by-a-kill"})
    assert kfp("schedule", "30 4 * * *", "--version=v1").exit_code == 0
    (recurring,) = kubeflow.recurring
    assert recurring["trigger"]["cron_schedule"]["cron"] == "0 30 4 * * *"
    recurring["mode"] = "DISABLE"
    assert kfp("schedule", "30 4 * * *", "--version=v1").exit_code == 0
    (recurring,) = kubeflow.recurring
    assert recurring["mode"] == "ENABLE"

    bad = kfp("schedule", "at night", "--version=v1")
    assert isinstance(bad.exception, ToolwearError)
    assert "no cron expression in UTC" in str(bad.exception)
    # With a schedule Kubeflow would end its run, too.
    kubeflow.plan = ["RUNNING"]
    fired = kubeflow.fire(recurring)
    assert "switched off, for its run goes on" in kfp("unschedule").output
    assert (recurring["mode"], fired["state"]) == ("DISABLE", "PENDING")
    assert kfp("schedule", "15 4 * * *", "--version=v1").exit_code == 0
    assert [item["mode"] for item in kubeflow.recurring] == ["DISABLE", "ENABLE"]
    kubeflow.become(fired, "SUCCEEDED")
    assert "taken away" in kfp("unschedule").output
    assert "there is none" in kfp("unschedule").output
    assert kubeflow.recurring == []


def test_a_run_that_succeeds_ends_with_zero_and_tells_its_steps(
    kubeflow: Kubeflow, kfp: Command
) -> None:
    done = kfp("run", "--version=v1", "--fast", "--name=nightly", "--set=seed=3", "--data=/data")
    assert done.exit_code == 0, done.output
    assert "Read the recordings: succeeded" in done.output
    assert "root-driver" not in done.output
    assert "run nightly: SUCCEEDED" in done.output
    given = kubeflow.run("nightly")["runtime_config"]["parameters"]
    assert (given["seed"], given["search_seconds"], given["data"]) == (3, 30, "/data")
    assert given["person"] == who()
    again = kfp("run", "--version=v1", "--name=nightly")
    assert (again.exit_code, len(kubeflow.runs)) == (0, 1)


@pytest.mark.parametrize("end", ["FAILED", "CANCELED", "SKIPPED"])
def test_a_run_that_does_not_succeed_ends_with_one(
    kubeflow: Kubeflow, kfp: Command, end: str
) -> None:
    kubeflow.plan = ["PENDING", "RUNNING", end]
    done = kfp("run", "--version=v1", "--name=r")
    assert done.exit_code == 1
    assert f"run r: {end}" in done.output
    assert ("Read the recordings: exit code 2" in done.output) == (end == "FAILED")


def test_a_run_that_goes_on_when_the_time_is_up_ends_with_one(
    kubeflow: Kubeflow, kfp: Command
) -> None:
    kubeflow.plan = ["RUNNING"]
    done = kfp("run", "--version=v1", "--name=r", "--wait=0.1")
    assert done.exit_code == 1
    assert "toolwear kfp terminate r" in done.output
    started = kfp("run", "--version=v1", "--name=other", "--wait=0")
    assert (started.exit_code, kubeflow.run("other")["state"]) == (0, "PENDING")


def test_a_run_is_waited_for_while_the_server_is_away(kubeflow: Kubeflow, kfp: Command) -> None:
    kubeflow.plan = ["RUNNING"]

    def outage() -> None:
        wait_for(lambda: any(asked.startswith("GET /runs/") for asked in kubeflow.asked))
        kubeflow.away = True
        time.sleep(0.3)
        kubeflow.plans[kubeflow.runs[0]["run_id"]] = ["SUCCEEDED"]
        kubeflow.away = False

    thread = threading.Thread(target=outage)
    thread.start()
    done = kfp("run", "--version=v1", "--name=r", "--wait=60")
    thread.join()
    assert "does not answer (HTTP 503); asking again" in done.output
    assert (done.exit_code, "run r: SUCCEEDED" in done.output) == (0, True)


def test_a_run_is_terminated_once(kubeflow: Kubeflow, kfp: Command) -> None:
    kubeflow.plan = ["RUNNING"]
    assert kfp("run", "--version=v1", "--name=r", "--wait=0").exit_code == 0
    done = kfp("terminate", "r")
    assert (done.exit_code, "run r: CANCELED" in done.output) == (0, True), done.output
    again = kfp("terminate", kubeflow.run("r")["run_id"])
    assert (again.exit_code, "had ended before: CANCELED" in again.output) == (0, True)
    nobody = kfp("terminate", "x")
    assert isinstance(nobody.exception, ToolwearError)
    assert "There is no run x" in str(nobody.exception)


def test_parameters_are_checked_here_and_there(kubeflow: Kubeflow, kfp: Command) -> None:
    bad = kfp("run", "--version=v1", "--set=seed=-1")
    assert isinstance(bad.exception, ToolwearError)
    assert kubeflow.runs == []
    api = client.Kubeflow(kubeflow.url)
    kfp("upload", "--version=v1")
    with pytest.raises(ToolwearError, match=r"refused: .*no parameter sed in the pipeline"):
        api.start("r", api.version("v1"), {"sed": 3})
    with pytest.raises(ToolwearError, match="no version v2 of toolwear-training"):
        api.version("v2")


def test_who_is_away_or_lets_nobody_in_is_told_in_a_sentence(
    kubeflow: Kubeflow, kfp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeflow.token = "secret"
    stranger = kfp("upload", "--version=v1")
    assert isinstance(stranger.exception, ToolwearError)
    assert "lets nobody in with this token (HTTP 401); set KFP_TOKEN" in str(stranger.exception)
    monkeypatch.setenv("KFP_TOKEN", "secret")
    assert kfp("upload", "--version=v1").exit_code == 0
    kubeflow.away = True
    away = kfp("upload", "--version=v1")
    assert (away.exit_code, "does not answer (HTTP 503); try again." in away.output) == (1, True)
    with pytest.raises(KubeflowDownError, match="ConnectError"):
        client.Kubeflow("http://127.0.0.1:1")
    with pytest.raises(ToolwearError, match="is no address"):
        client.Kubeflow("ml-pipeline")
    monkeypatch.delenv("KFP_HOST")
    nowhere = kfp("upload", "--version=v1")
    assert isinstance(nowhere.exception, ToolwearError)
    assert "--kfp-host or KFP_HOST" in str(nowhere.exception)


def test_the_resources_for_kubernetes_are_whole(tmp_path: Path) -> None:
    output, plain = tmp_path / "build" / "resources.yaml", tmp_path / "training.yaml"
    command = ["compile", str(output), "--kubernetes", "--version=release-1", "--namespace=ml"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    pipeline, version = yaml.safe_load_all(output.read_text())
    for item in (pipeline, version):
        assert item["metadata"]["namespace"] == "ml"
        assert item["apiVersion"] == "pipelines.kubeflow.org/v2beta1"
        if CRDS:
            assert faults(item) == []
    assert pipeline["metadata"]["name"] == version["spec"]["pipelineName"] == "toolwear-training"
    assert version["metadata"]["name"] == "release-1"
    CliRunner().invoke(app, ["compile", str(plain)])
    documents = [version["spec"]["pipelineSpec"]]
    if version["spec"].get("platformSpec"):
        documents.append(version["spec"]["platformSpec"])
    same = tmp_path / "same.yaml"
    same.write_text(yaml.safe_dump_all(documents))
    assert graph_digest(same) == graph_digest(plain)
    bad = CliRunner().invoke(app, ["compile", str(output), "--kubernetes", "--version=Not_A_Name"])
    assert isinstance(bad.exception, ToolwearError)
    assert "no name for Kubernetes" in str(bad.exception)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
