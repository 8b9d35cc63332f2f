"""The MLflow run of a pipeline run: begun, filled, ended, found again, and never in the way."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.decide.evidence import Folders as Judged
from components.decide.step import decide
from components.finish.step import end_tracked
from components.register.contents import Folders, Lineage
from components.register.figures import TABLE_FILE, children, headline, table
from components.register.step import register
from tests.component.test_register import NAME
from tests.mill import MILL
from tests.ports import free_port
from tests.run_artifacts import COLUMNS, RunArtifacts, make_run
from toolwear.common import jsonfile
from toolwear.common.states import State
from toolwear.common.steps import EVENTS_FOLDER
from toolwear.dataset import schema
from toolwear.dataset.contract import default
from toolwear.release import registry as tags
from toolwear.release.registry import Registry
from toolwear.release.tracking import HERE, RUN_VARIABLE, Beginning, Tracking, in_step, on_cluster
from toolwear.run import run_folder
from toolwear.workspace.home import MLFLOW_VARIABLE, TRACKING_VARIABLE, Home

RUN = "20260101T000000Z-00000a"
_TRIAL = {"status": "success", "duration": 2.0}
_SEARCH = {
    "settings": {"seconds": 30, "seed": 0, "metric": "log_loss", "space": {}},
    "ensemble": [{"classifier": "random_forest"}],
    "leaderboard": [
        {"trial": 3, "cost": 0.1, **_TRIAL},
        {"trial": 1, "cost": 0.4, **_TRIAL},
        {"trial": 2, "cost": None, "status": "timeout", "duration": 9.0},
    ],
    "outer": [
        {
            "protocol": schema.NEW_RUN,
            "fold": "part-1-of-2",
            "held_out": ["03", "04"],
            "rows": {"train": 400, "test": 80},
            "leaderboard": [{"trial": 1, "cost": 0.7, **_TRIAL}],
        }
    ],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RunArtifacts:
    """Return a run's artifacts with a search of three trials and one outer fold."""
    run = make_run(tmp_path_factory.mktemp("found") / "run")
    jsonfile.write(run.automl / "search.json", _SEARCH)
    metrics = run.metrics()
    verdicts = [
        {schema.RUN_ID: "03", schema.SETTING: "6/4", "p": 0.9, "correct": True},
        {schema.RUN_ID: "04", schema.SETTING: "6/4", "p": 0.8, "correct": False},
        {schema.RUN_ID: "05", schema.SETTING: "6/4", "p": 0.8, "correct": False},
    ]
    metrics["protocols"][schema.NEW_RUN][schema.AUTO_SKLEARN]["per_run"] = verdicts
    jsonfile.write(run.evaluation / "metrics.json", metrics)
    (run.root / "telemetry").mkdir()
    jsonfile.write(
        run.root / "telemetry" / "manifest.json",
        {
            "dataset": default().model_dump(mode="json"),
            "digest": "d" * 64,
            "source": {"kind": "folder", "location": "mill"},
            "rows": 480,
            "runs": 6,
        },
    )
    return run


@pytest.fixture
def home(empty_registry: Path, tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    shutil.copyfile(empty_registry, tmp_path / "home" / "mlflow.db")
    return Home(tmp_path / "home")


def tracked(home: Home, run: str = RUN, uri: str = "") -> Tracking:
    parameters = {"seed": 7, "search_seconds": 300, "data": ""}
    known = Beginning(
        run, parameters, "on_demand", "c" * 40, "d" * 64, "e" * 64, "Ada (a@b)", source=HERE
    )
    return Tracking(home, uri, NAME, known)


def enroll(run: RunArtifacts, home: Home, tracking: Tracking | None, work: Path) -> str:
    judged = Judged(
        run.evaluation, run.explanation, run.split, run.validation, run.features, run.automl
    )
    decide(judged, home, "", NAME, "d" * 64, 0, work / "decision", "test")
    folders = Folders(
        run.evaluation, run.explanation, run.split, run.features, run.automl, work / "decision"
    )
    lineage = Lineage("c" * 40, "d" * 64, "e" * 64, 0, "test")
    made = register(folders, lineage, NAME, home, "", work / "made", work / "package", tracking)
    return made.version


def client(home: Home) -> Any:
    return Registry(home, "", NAME).client


def below(home: Home, run_id: str) -> dict[str, Any]:
    runs = client(home).search_runs(["1"], f"tags.`mlflow.parentRunId` = '{run_id}'")
    return {one.info.run_name: one for one in runs}


def test_a_run_is_in_mlflow_from_its_begin_to_its_end(
    found: RunArtifacts, home: Home, tmp_path: Path
) -> None:
    tracking = tracked(home)
    run_id = tracking.begin()
    run = client(home).get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("RUNNING", RUN)
    assert run.data.params == {"seed": "7", "search_seconds": "300"}
    assert (
        run.data.tags.items()
        >= {
            "mlflow.user": "Ada (a@b)",
            "mlflow.source.name": "toolwear run",
            "mlflow.source.git.commit": "c" * 40,
            tags.RUN: RUN,
            tags.CAUSE: "on_demand",
            tags.DATA: "d" * 64,
        }.items()
    )
    assert tracking.begin() == run_id, "it is found by its name"
    tracking.note_data(found.root / "telemetry")
    version = client(home).get_model_version(
        NAME, enroll(found, home, tracking, tmp_path / "first")
    )
    assert version.run_id == run_id
    run = client(home).get_run(run_id)
    assert run.info.status == "RUNNING", "the version is made, the run goes on"
    accuracy = found.metrics()["protocols"][schema.KNOWN_RUNS][schema.AUTO_SKLEARN]["accuracy"]
    assert run.data.metrics["known_runs.accuracy"] == accuracy
    assert run.data.metrics["search.log_loss"] == 0.1
    assert len(run.data.metrics) <= 13
    assert run.data.params["search_seconds"] == "300", "as it was asked"
    assert run.data.params["window"] == "50"
    sets = {item.dataset.name: item.dataset for item in run.inputs.dataset_inputs}
    assert set(sets) == {default().dataset.name, "published training rows"}
    recordings = sets[default().dataset.name]
    assert recordings.digest == "d" * 36
    columns = json.loads(recordings.schema)["mlflow_colspec"]
    assert [column["name"] for column in columns] == ["run_id", "row", "event_timestamp", *MILL.raw]
    rows = json.loads(sets["published training rows"].schema)["mlflow_colspec"]
    assert [column["name"] for column in rows] == [*COLUMNS, schema.LABEL]
    kept = client(home).load_table("1", TABLE_FILE, [run_id])
    assert len(kept) == len(table(found.metrics())["value"]) > 20
    page = tmp_path / "report.html"
    page.write_text("what it came to")
    tracking.end(State.SUCCEEDED, "", {"report.html": page, "gone.html": tmp_path / "gone"})
    run = client(home).get_run(run_id)
    assert (run.info.status, run.data.tags[tags.STATE]) == ("FINISHED", "succeeded")
    names = [item.path for item in client(home).list_artifacts(run_id)]
    assert {"report.html", "MODEL_CARD.md", "package", TABLE_FILE} <= set(names)
    assert "gone.html" not in names

    runs = below(home, run_id)
    assert set(runs) == {"search", "fold new_run part-1-of-2", "baseline majority"}
    assert {one.info.status for one in runs.values()} == {"FINISHED"}
    trials = client(home).get_metric_history(runs["search"].info.run_id, "log_loss")
    assert [(one.step, one.value) for one in trials] == [(1, 0.4), (3, 0.1)]
    fold = runs["fold new_run part-1-of-2"]
    assert fold.data.params["held_out"] == "03, 04"
    assert fold.data.metrics["runs"] == 2
    assert fold.data.metrics["share_of_runs_right"] == 0.5
    assert runs["baseline majority"].data.metrics["known_runs.accuracy"] == accuracy

    # Another run that comes to the same package has its own run, and the version stays.
    later = tracked(home, "20260102T000000Z-00000b")
    assert enroll(found, home, later, tmp_path / "second") == str(version.version)
    second = client(home).get_run(later.begin())
    assert second.data.metrics.keys() == run.data.metrics.keys()
    assert below(home, second.info.run_id).keys() == runs.keys()
    # A step that was killed and is tried again writes nothing twice.
    enroll(found, home, later, tmp_path / "third")
    assert below(home, second.info.run_id).keys() == runs.keys()
    assert len(client(home).search_runs(["1"])) == 2 * (1 + len(runs))
    assert len(client(home).load_table("1", TABLE_FILE, [second.info.run_id])) == len(kept)


def test_figures_that_are_no_numbers_are_left_out(found: RunArtifacts) -> None:
    metrics = found.metrics()
    figures = metrics["protocols"][schema.KNOWN_RUNS][schema.AUTO_SKLEARN]
    figures |= {"mcc": None, "auc": float("nan"), "f1": True}
    footprint = {"memory_mib": 9, "milliseconds_per_row": 0.5}
    shown = headline(metrics, {"test": {"coverage": 0.75}}, {}, footprint)
    assert "known_runs.mcc" not in shown
    assert "known_runs.auc" not in shown
    assert shown["known_runs.answered"] == 0.75
    names = table(metrics)["figure"]
    assert names.count("f1") == 2, "of the other models"
    assert next(children(metrics, {"settings": {}})).name == "search"


def test_a_server_that_is_away_costs_seconds_and_no_run(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    away = tracked(home, uri=f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    assert away.begin() == ""
    away.end(State.FAILED, "why", {})
    assert time.monotonic() - started < 30
    said = capsys.readouterr().out
    assert "the run goes on, but MLflow was not told that it began" in said
    assert "how it ended, failed" in said


def test_a_killed_run_is_ended_by_the_next_one(home: Home) -> None:
    killed, other = tracked(home), tracked(home, "20260102T000000Z-00000b")
    folder = home.root / RUN
    folder.mkdir()
    run_id, at_work = killed.begin(), other.begin()
    with run_folder.at_work(folder):
        other.settle()
        assert client(home).get_run(run_id).info.status == "RUNNING"
    other.settle()
    run = client(home).get_run(run_id)
    assert (run.info.status, run.data.tags[tags.STATE]) == ("KILLED", "killed")
    assert run.data.tags[tags.REASON] == run_folder.KILLED_REASON
    assert client(home).get_run(at_work).info.status == "RUNNING", "it has no folder yet"


@pytest.fixture
def cluster(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv(EVENTS_FOLDER, raising=False)
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    monkeypatch.setenv("TOOLWEAR_HOME", str(home.root))
    return home


@pytest.mark.parametrize(
    ("told", "status", "state"),
    [
        ("SUCCEEDED", "FINISHED", "succeeded"),
        ("FAILED", "FAILED", "failed"),
        ("CANCELED", "KILLED", "cancelled"),
    ],
)
def test_on_a_cluster_the_first_step_opens_it_and_the_last_ends_it(
    cluster: Home, tmp_path: Path, told: str, status: str, state: str
) -> None:
    run = "0d1f0b3e-0000-4000-8000-000000000001"
    opened = on_cluster(run, NAME, "new_data", "", ("c" * 40, "e" * 64, ""), seed=3).begin()
    page = tmp_path / "page.html"
    page.write_text("why")
    end_tracked(on_cluster(run, NAME), told, "no space", page)
    seen = client(cluster).get_run(opened)
    assert (seen.info.status, seen.data.tags[tags.STATE]) == (status, state)
    assert seen.data.tags["mlflow.user"] == "Kubeflow Pipelines"
    assert (seen.data.params, seen.data.tags[tags.SEED]) == ({"seed": "3"}, "3")
    names = [item.path for item in client(cluster).list_artifacts(opened)]
    assert names == ([] if told == "SUCCEEDED" else ["failure.html"])


def test_here_those_steps_leave_it_to_who_started_the_run(
    cluster: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EVENTS_FOLDER, str(cluster.root))
    monkeypatch.setenv(RUN_VARIABLE, RUN)
    assert on_cluster("some-id", NAME).begin() == ""
    assert in_step(cluster, "", NAME, "some-id").known.run == RUN


def test_the_server_is_the_one_that_was_meant(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACKING_VARIABLE, "sqlite:////tmp/of-another-home.db")
    assert home.tracking_uri() == home.local_registry, "MLflow leaves its last file there"
    monkeypatch.setenv(TRACKING_VARIABLE, "http://mlflow:5000")
    assert home.tracking_uri() == "http://mlflow:5000"
    assert home.has_registry()
    monkeypatch.setenv(MLFLOW_VARIABLE, "http://ours:5000")
    assert home.tracking_uri() == "http://ours:5000"
    assert home.tracking_uri("http://given") == "http://given"


def test_rows_of_the_table_have_their_interval(found: RunArtifacts) -> None:
    rows = pd.DataFrame(table(found.metrics()))
    first = rows[(rows.figure == "accuracy") & (rows.protocol == schema.KNOWN_RUNS)].iloc[0]
    assert first.low < first.value <= first.high == 1.0
