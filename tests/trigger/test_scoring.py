"""Scoring jobs: from a request to verdicts, over a real trigger and with real recordings."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from typer.testing import CliRunner

from components.score.step import score
from tests.kubeflow.stub import serving
from tests.object_store import client, credentials, object_store
from tests.serving.stack import make_place
from tests.trigger.service import HTTP, TOKENS, Service, wait_for
from toolwear.cli.graph import Graph, compile_graph
from toolwear.cli.main import app
from toolwear.common import jsonfile
from toolwear.common.states import ENDED
from toolwear.dataset.contract import default
from toolwear.run import kubeflow
from toolwear.run.kubeflow import Origin
from toolwear.run.scoring import PROGRESS_FILE, VERDICTS_FILE, kept
from toolwear.workspace.home import Home

PATH = "/v1/scoring"
DONE = {"done": 3, "of": 3, "rows": 1055 + 1296 + 282}  # of `recordings`


@pytest.fixture
def recordings(real_data: Path, tmp_path: Path) -> Path:
    """Return a folder of two recordings with their table, and one that is cut off."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("train.csv", "experiment_01.csv", "experiment_06.csv"):
        shutil.copy(real_data / name, folder)
    whole = (real_data / "experiment_07.csv").read_bytes()
    (folder / "experiment_07.csv").write_bytes(whole[: len(whole) // 2])
    return folder


def ask(service: Service, body: dict[str, Any], **headers: str) -> str:
    answer = service.post(PATH, body, **headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"{PATH}/{answer.json()['id']}"
    return str(answer.json()["id"])


def job(service: Service, number: str) -> dict[str, Any]:
    found: dict[str, Any] = HTTP.get(f"{service.url}{PATH}/{number}").json()
    return found


def listed(service: Service, **query: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = HTTP.get(service.url + PATH, params=query).json()["jobs"]
    return found


def ended(service: Service, number: str) -> dict[str, Any]:
    wait_for(lambda: job(service, number)["status"] in ENDED, 120)
    return job(service, number)


def test_a_folder_is_scored_by_a_job_once_whatever_is_killed(
    service_of: Callable[..., Service], features: Path, recordings: Path, tmp_path: Path
) -> None:
    place = make_place(tmp_path / "home", features)
    service, target = service_of(), tmp_path / "verdicts"
    target.mkdir()
    body = {"data": str(recordings), "target": str(target), "by": "Ada"}
    number = ask(service, body, **{"idempotency-key": "night 1"})
    assert ask(service, body, **{"idempotency-key": "night 1"}) == number
    assert "no verdicts" in HTTP.get(f"{service.url}{PATH}/{number}/verdicts").json()["error"]
    second = ask(service, {"data": str(recordings)})
    assert service.post(f"{PATH}/{second}/cancel", {"why": "once will do"}).status_code == 202
    wait_for(lambda: steps_of(recordings))
    service.kill()
    for process in steps_of(recordings):  # the job had gone on without its trigger
        process.kill()
    service.start()

    found = ended(service, number)
    assert found["status"] == "succeeded"
    assert found["detail"] == f"{recordings} (Ada)"
    assert [one["state"] for one in found["attempts"]] == ["killed", "succeeded"]
    assert found["counts"] == {"recordings": 3, "faulty": 1}
    assert found["progress"] == {**DONE, "last": f"writing {target}"}
    sent = HTTP.get(service.url + found["verdicts"])
    assert sent.headers["content-type"] == "application/vnd.apache.parquet"
    assert sent.content == (target / VERDICTS_FILE).read_bytes()
    rows = pd.read_parquet(io.BytesIO(sent.content))
    assert rows["package"].dropna().tolist() == [place.packages[0].digest] * 2
    assert (job(service, second)["status"], service.runs()) == ("cancelled", [])

    failed = ended(service, ask(service, {"data": str(target.parent)}))
    assert (failed["status"], failed["counts"]) == ("failed", None)
    assert "holds no recordings" in failed["attempts"][0]["reason"]

    words = ["score", "--job", "--url", service.url, "--home", str(service.home), str(recordings)]
    done = CliRunner().invoke(app, words, env=TOKENS)
    assert done.exit_code == 0, done.output
    for line in (
        "3 of 3: experiment_07.csv line 284 is cut off",
        "job succeeded",
        "3 recordings, 1 of them faulty",
    ):
        assert line in done.output
    assert f"verdicts: {service.url}{PATH}/4/verdicts" in done.output


def steps_of(folder: Path) -> list[psutil.Process]:
    """Return the processes that score a folder, beside who watches them."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if f"--data={folder}" in (process.info["cmdline"] or ())
        and "serving.trigger.launch" not in process.info["cmdline"]
    ]


def test_what_a_job_may_not_is_told(service_of: Callable[..., Service], tmp_path: Path) -> None:
    service = service_of()
    (tmp_path / "secret.toml").write_text("password = 1")
    here = str(tmp_path)
    for body, status, sentence in (
        ({}, 400, "'data' is wrong: field required"),
        ({"data": "recordings"}, 400, "whole path, from the root, or s3://bucket"),
        ({"data": "s3:///night"}, 400, "whole path, from the root, or s3://bucket"),
        ({"data": f"{here}/*.toml"}, 409, "there is no such folder"),
        ({"data": f"{here}/secret.toml"}, 409, "there is no such folder"),
        ({"data": here, "target": f"{here}/none"}, 409, "there is no such folder"),
        ({"data": here, "dataset": f"{here}/secret.toml"}, 400, "a data set's name, or a contract"),
        ({"data": here, "settings": "feedrate=6"}, 400, "lacks clamp_pressure"),
        ({"data": here, "home": "/"}, 400, "'home' is wrong: extra inputs are not permitted"),
        ({"data": here, "by": 3}, 400, '"by" has to be a name'),
    ):
        answer = service.post(PATH, body)
        assert (answer.status_code, sentence in answer.json()["error"]) == (status, True), body
    assert HTTP.post(service.url + PATH, json={"data": here}).status_code == 401
    assert HTTP.get(f"{service.url}{PATH}/1").status_code == 404
    long = default().model_dump(mode="json")
    long["dataset"]["citation"] = "\U0001f527" * 12_000  # too long for a command line
    failed = ended(
        service, ask(service, {"data": here, "dataset": json.dumps(long, ensure_ascii=False)})
    )
    assert failed["attempts"][0]["reason"] == "It could not be started: Argument list too long."
    failed = ended(service, ask(service, {"data": here}))
    assert "no champion" in failed["attempts"][0]["reason"]


def test_a_bucket_is_scored_into_a_bucket_and_told_by_the_trigger(
    service_of: Callable[..., Service],
    features: Path,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_place(tmp_path / "home", features)
    (tmp_path / "store").mkdir()
    with object_store(tmp_path / "store", "mill") as url:
        for name, value in credentials(url).items():
            monkeypatch.setenv(name, value)
        store = client(url)
        for file in recordings.iterdir():
            store.upload_file(str(file), "mill", f"night/{file.name}")
        service = service_of()
        assert listed(service) == []
        number = ask(service, {"data": "s3://mill/night", "target": "s3://mill/verdicts"})
        second = ask(service, {"data": "s3://mill/day"})
        found = ended(service, number)
        assert found["progress"] == {**DONE, "last": "writing s3://mill/verdicts"}
        assert found["counts"] == {"recordings": 3, "faulty": 1}
        sent = store.get_object(Bucket="mill", Key=f"verdicts/{VERDICTS_FILE}")["Body"].read()
        assert HTTP.get(service.url + found["verdicts"]).content == sent
        assert {item["Key"] for item in store.list_objects_v2(Bucket="mill")["Contents"]} == {
            *(f"night/{file.name}" for file in recordings.iterdir()),
            f"verdicts/{VERDICTS_FILE}",
        }
        assert ended(service, second)["status"] == "failed"
        assert service.metric('toolwear_scoring_jobs{state="succeeded"}') == 1
        assert service.metric('toolwear_scoring_jobs{state="failed"}') == 1
        assert service.metric('toolwear_scoring_jobs{state="waiting"}') == 0
        brief = found.keys() - {"parameters", "attempts"}
        newest = listed(service)
        assert [one["id"] for one in newest] == [second, number]
        assert newest[1] == {key: found[key] for key in brief}
        assert listed(service, limit=1) == newest[:1]
        own = kept(Home.at(service.home), found["attempts"][0]["name"])
        (own / VERDICTS_FILE).write_bytes(sent[:-9])
        (own / PROGRESS_FILE).unlink()
        (own / PROGRESS_FILE).symlink_to(service.home / "secrets" / "operator-token")
        damaged = {"counts": None, "progress": {"done": None, "of": None, "rows": 0, "last": ""}}
        assert listed(service) == [newest[0], newest[1] | damaged]
        for query in ("limit=0", "limit=101", "limit=-1", "limit=ten", "limit=1&state=failed"):
            answer = HTTP.get(f"{service.url}{PATH}?{query}")
            assert answer.status_code == 400
            assert "a number from 1 to 100" in answer.json()["error"]


def test_on_kubeflow_a_job_is_a_run_of_the_scoring_graph(
    service_of: Callable[..., Service], features: Path, recordings: Path, tmp_path: Path
) -> None:
    home = Home.at(make_place(tmp_path / "home", features).home)
    graph, target = tmp_path / "scoring.yaml", tmp_path / "verdicts"
    origin = Origin("c0ffee", compile_graph(Graph.SCORING, graph))
    with serving() as stub:
        kubeflow.Kubeflow(stub.url, pipeline=kubeflow.SCORING).upload(graph, "v1", origin)
        stub.plan = ["PENDING", "RUNNING"]
        service = service_of(f"--kfp_host={stub.url}", settings=())
        number = ask(service, {"data": str(recordings), "target": str(target)})
        wait_for(lambda: job(service, number)["status"] == "running" and stub.runs)
        assert job(service, number)["progress"] == {"done": None, "of": None, "rows": 0, "last": ""}
        (run,) = stub.runs
        given = run["runtime_config"]["parameters"]
        asked = {"data": str(recordings), "settings": "", "dataset": "", "target": str(target)}
        assert given == {**asked, "job": run["display_name"]}
        score(**given, home=home, output=tmp_path / "artifact")  # as the task does
        found = job(service, number)
        assert (found["status"], found["counts"]) == ("running", None)
        assert found["progress"] == {**DONE, "last": f"writing {target}"}
        stub.become(run, "SUCCEEDED")
        found = ended(service, number)
        assert (found["status"], found["counts"]) == ("succeeded", {"recordings": 3, "faulty": 1})
        sent = HTTP.get(service.url + found["verdicts"]).content
        assert sent == (target / VERDICTS_FILE).read_bytes()
        assert {run["experiment_id"] for run in stub.runs} == {
            one["experiment_id"]
            for one in stub.experiments
            if one["display_name"] == "toolwear-scoring"
        }
        assert service.runs() == []  # none that trains

        at_work = ask(service, {"data": str(recordings)})
        wait_for(lambda: job(service, at_work)["attempts"])
        (attempt,) = job(service, at_work)["attempts"]
        jsonfile.write(kept(home, attempt["name"]) / PROGRESS_FILE, {"done": 1, "of": 3})
        assert prune(home) == [given["job"]]
        gone = HTTP.get(f"{service.url}{PATH}/{number}/verdicts")
        assert gone.status_code == 404
        assert f"not kept here any more; they were sent to {target}" in gone.json()["error"]
        assert (target / VERDICTS_FILE).read_bytes() == sent
        assert job(service, number)["verdicts"] is None
        assert job(service, at_work)["progress"]["done"] == 1
        assert prune(home) == []


def prune(home: Home) -> list[str]:
    """Remove all the verdicts that may go; return whose."""
    words = ["prune", f"--home={home.root}", "--json", "--set=verdicts.gigabytes=0"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return [one["name"] for one in json.loads(done.stdout)["kinds"]["verdicts"]["removed"]]
