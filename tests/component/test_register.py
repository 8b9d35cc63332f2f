"""From decision to champion with a real MLflow: registration, promotion, rollback, kills."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from components.decide.evidence import Folders as Judged
from components.decide.scoring import Champion, score
from components.decide.step import decide
from components.promote.step import promote
from components.register.contents import Folders, Lineage
from components.register.step import Registered, register
from tests.mill import KEY_COLUMNS
from tests.ports import free_port
from tests.run_artifacts import COLUMNS, RunArtifacts, make_run
from tests.serving.conftest import command, environment
from toolwear.common import jsonfile
from toolwear.common.causes import Cause
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.common.thresholds import thresholds
from toolwear.dataset import schema
from toolwear.evaluation.protocols import assign, folds
from toolwear.explain.methods.subject import Subject
from toolwear.features.dataset import load
from toolwear.model.abstention import NO_WINDOW, VERDICTS
from toolwear.model.footprint import Footprint
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import Package, load_package
from toolwear.model.reference import BACKGROUND_ROWS
from toolwear.release import audit_log, registry
from toolwear.release import champion as pointer
from toolwear.release.comparison import Comparison, compare
from toolwear.release.decisions import Outcome
from toolwear.release.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, mlflow_module
from toolwear.release.registry_state import champion_state, roll_back
from toolwear.release.tracking import EXPERIMENT
from toolwear.workspace.home import Home

NAME = "toolwear"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> RunArtifacts:
    return make_run(tmp_path_factory.mktemp("first") / "run")


def judge(
    run: RunArtifacts, home: Home, data: str = "d0", cause: str = "test"
) -> tuple[Outcome, dict[str, Any]]:
    output = home.root / "work" / f"decision-{run.root.name}-{len(list(home.root.glob('work/*')))}"
    folders = Judged(
        run.evaluation, run.explanation, run.split, run.validation, run.features, run.automl
    )
    outcome = decide(folders, home, "", NAME, data, 0, output, cause)
    return outcome, {"folder": output, **jsonfile.read(output / "decision.json")}


def enroll(
    run: RunArtifacts, home: Home, decision: Path, data: str = "d0", cause: str = "test"
) -> tuple[Registered, Path, Path]:
    output = home.root / "work" / f"registration-{len(list(home.root.glob('work/*')))}"
    package = output.with_name(f"{output.name}-package")
    folders = Folders(
        run.evaluation, run.explanation, run.split, run.features, run.automl, decision
    )
    lineage = Lineage("c" * 40, data, "e" * 64, 0, cause)
    return register(folders, lineage, NAME, home, "", output, package), output, package


def enthrone(
    run: RunArtifacts, home: Home, data: str = "d0"
) -> tuple[Outcome, Registered, str | None]:
    outcome, decision = judge(run, home, data)
    registered, registration, _ = enroll(run, home, decision["folder"], data)
    check = registration.with_name(f"{registration.name}-check")
    answers = {"passed": True, "reason": "", "package_digest": registered.digest}
    jsonfile.write(check / "check.json", answers)
    if not outcome.promotes:
        return outcome, registered, None
    output = registration.with_name(f"{registration.name}-promotion")
    done = promote(decision["folder"], registration, check, "test", home, "", output)
    return outcome, registered, done


def of(home: Home) -> Registry:
    return Registry(home, "", NAME)


def test_a_run_for_new_data_needs_runs_that_the_champion_does_not_know(
    first: RunArtifacts, tmp_path: Path, home: Home
) -> None:
    assert enthrone(first, home)[2] == "promoted"
    outcome, decision = judge(first, home, "d1", Cause.NEW_DATA.told("a file arrived"))
    assert outcome is Outcome.KEEP_NOT_ENOUGH_NEW_DATA
    assert "0 rows of 0 runs that the champion was not trained on" in decision["reasons"][0]
    assert judge(first, home, "d1", Cause.ON_DEMAND.told("by hand"))[0] is Outcome.KEEP_SAME
    grown = make_run(tmp_path / "grown")
    part = grown.features / "training_set" / "part-00000.parquet"
    frame = pd.read_parquet(part)
    news = [frame[frame[schema.RUN_ID] == name].copy() for name in ("01", "02", "03")]
    for number, run in enumerate(news, start=7):
        run[schema.RUN_ID] = schema.run_id(number)
        run[schema.SAMPLE_ID] = [schema.sample_id(schema.run_id(number), row) for row in run.row]
    whole = pd.concat([frame, *news], ignore_index=True)
    whole.to_parquet(part, index=False)
    assign(whole[list(KEY_COLUMNS)]).to_parquet(grown.split / "splits.parquet", index=False)
    outcome, _ = judge(grown, home, "d1", Cause.NEW_DATA.told("a file arrived"))
    assert outcome is not Outcome.KEEP_NOT_ENOUGH_NEW_DATA


# --- registration -----------------------------------------------------------------------------


def test_a_version_has_figures_plots_data_lineage_card_and_package(
    first: RunArtifacts, tmp_path: Path, home: Home
) -> None:
    _, decision = judge(first, home)
    registered, registration, copy = enroll(first, home, decision["folder"])
    client = of(home).client
    version = of(home).at(CHALLENGER)
    assert version is not None
    assert version.number == registered.version == "1"
    assert (
        version.tags.items()
        >= {
            registry.COMPLETE: "true",
            registry.PACKAGE: registered.digest,
            registry.GATE: "promote_first",
            registry.USE: "known_runs_only",
            registry.COMMIT: "c" * 40,
            registry.DATA: "d0",
            registry.GRAPH: "e" * 64,
            registry.SEED: "0",
            registry.CAUSE: "test",
        }.items()
    )
    run = client.get_run(version.run_id)
    accuracy = first.metrics()["protocols"][schema.KNOWN_RUNS][schema.AUTO_SKLEARN]["accuracy"]
    assert run.info.status == "FINISHED"
    assert run.data.metrics["known_runs.accuracy"] == accuracy
    assert run.data.metrics["new_run.accuracy"] == 0.5
    assert run.data.params == {
        "window": "50",
        "stride": "25",
        "restored_order": "True",
        "search_seconds": "30",
        "search_seed": "0",
    }
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest == "d0"
    assert [item.path for item in client.list_artifacts(version.run_id, "evaluation")] == [
        "evaluation/empty.png"
    ]
    assert "MODEL_CARD.md" in str(client.list_artifacts(version.run_id, "package"))
    assert load_package(copy, registered.digest).features == COLUMNS
    kept = of(home).package(version)
    assert kept.digest == registered.digest
    known = jsonfile.read(registration / "registration.json")
    assert (known["package"], known["new"]) == (f"packages/{kept.digest}", True)
    card = kept.contents["MODEL_CARD.md"].decode()
    assert "**May be used for the known runs only.**" in card
    assert f"| auto_sklearn | published | 96 rows | {accuracy:.4f}" in card
    assert "0.9946" in card, "the published figure stands beside it"
    assert "The band misses its target." in card
    samples = load(first.features, schema.PUBLISHED)
    (fold,) = folds(schema.KNOWN_RUNS, samples, pd.read_parquet(first.split / "splits.parquet"))
    X, runs = samples.X[fold.train_index], samples.run[fold.train_index]
    explained = Subject(lambda rows: rows[:, 0], X, samples.columns, seed=0, run=runs)
    background = explained.drawn(BACKGROUND_ROWS)
    np.testing.assert_array_equal(kept.reference()["X"], background.background)
    assert background.run is not None
    assert set(background.run.tolist()) == set(runs.tolist())
    assert "- It knows its runs." in card
    assert "1 model (1 random forest) that auto-sklearn chose" in card
    assert "Z1_ActualPosition alone tells worn from unworn." in card


def asked_of_all(package: Package) -> pd.DataFrame:
    """Return 200 rows that get every answer for every reason, out of the package's own."""
    X = package.reference()["X"]
    rows = X[np.random.default_rng(0).integers(0, len(X), 200)]
    rows[::20, 1] = 1e6  # nothing like it was ever seen
    return pd.DataFrame(rows, columns=list(package.features))


def test_mlflow_answers_200_rows_as_the_service_does_not_sure_included(
    first: RunArtifacts, tmp_path: Path, home: Home
) -> None:
    registered, _, _ = enroll(first, home, judge(first, home)[1]["folder"])
    package = load_package(home.packages / registered.digest)
    rows = asked_of_all(package)
    mlflow_module().set_tracking_uri(home.tracking_uri())
    loaded = mlflow_module().pyfunc.load_model(f"models:/{NAME}@{CHALLENGER}")
    answered = loaded.predict(rows)
    with running(command(package, port := free_port()), port, f"/v2/models/{NAME}/ready", tmp_path):
        body = {"instances": rows.to_numpy().tolist()}
        served = httpx.post(f"http://127.0.0.1:{port}/v1/models/{NAME}:predict", json=body).json()
    told = served["predictions"]
    assert answered["verdict"].tolist() == [VERDICTS[item["answer"]] for item in told]
    assert answered["probability"].tolist() == [item["probabilities"][1] for item in told]
    assert answered["reason"].tolist() == [item["reason"] for item in told]
    assert (answered["label"].isna() == (answered["verdict"] == "not_sure")).all()
    assert set(answered["verdict"]) == set(VERDICTS.values())
    # By names, in whatever order, and beside whatever else there is.
    shuffled = rows[rows.columns[::-1]].assign(other=1.0)
    pd.testing.assert_frame_equal(loaded.predict(shuffled), answered)
    gap = rows.head(2).copy()
    gap.iloc[1, 0] = np.nan
    without = loaded.predict(gap).iloc[1]
    assert (without["verdict"], without["reason"]) == ("not_sure", NO_WINDOW)
    assert loaded.predict(gap).iloc[0].to_dict() == answered.iloc[0].to_dict()
    with pytest.raises(MlflowException, match=f"missing inputs \\['{rows.columns[0]}'\\]"):
        loaded.predict(rows.drop(columns=rows.columns[0]))


def test_the_registered_model_names_and_types_its_columns_and_holds_no_pickle(
    first: RunArtifacts, home: Home
) -> None:
    enroll(first, home, judge(first, home)[1]["folder"])
    mlflow_module().set_tracking_uri(home.tracking_uri())
    uri = f"models:/{NAME}@{CHALLENGER}"
    info = mlflow_module().models.get_model_info(uri)
    inputs = info.signature.inputs.to_dict()
    assert [(item["name"], item["type"]) for item in inputs] == [(c, "double") for c in COLUMNS]
    outputs = {item["name"]: item["type"] for item in info.signature.outputs.to_dict()}
    assert outputs == {
        "verdict": "string",
        "label": "string",
        "probability": "double",
        "reason": "string",
    }
    folder = Path(mlflow_module().artifacts.download_artifacts(uri))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert "input_example.json" in files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib"))]
    assert {name.split("/")[2] for name in files if name.startswith("code/")} == {
        "common",
        "dataset",
        "model",
    }


def test_mlflow_models_serve_answers_as_the_loaded_model_does(
    first: RunArtifacts, tmp_path: Path, home: Home
) -> None:
    """In a process that has nothing of ours but what MLflow copied beside the model."""
    registered, _, _ = enroll(first, home, judge(first, home)[1]["folder"])
    rows = asked_of_all(load_package(home.packages / registered.digest))
    mlflow_module().set_tracking_uri(home.tracking_uri())
    uri = f"models:/{NAME}@{CHALLENGER}"
    wanted = mlflow_module().pyfunc.load_model(uri).predict(rows)
    folder = mlflow_module().artifacts.download_artifacts(uri, dst_path=str(tmp_path / "model"))
    port = free_port()
    serve = [sys.executable, "-P", "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    serve += ["--model-uri", folder, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with running(serve, port, "/ping", tmp_path, bare=True):
        body = {"dataframe_split": rows.to_dict("split")}
        answer = httpx.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=60)
    found = pd.DataFrame(answer.json()["predictions"])
    for column in ("verdict", "label", "probability", "reason"):
        assert found[column].tolist() == wanted[column].tolist()


@contextmanager
def running(
    command: list[str], port: int, ready: str, folder: Path, bare: bool = False
) -> Iterator[None]:
    """Run a server until it has been asked; a bare one does not find this repository."""
    log = folder / f"{port}.log"
    env = {k: v for k, v in environment().items() if not (bare and k == "PYTHONPATH")}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"  # MLflow calls uvicorn by name
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, cwd=folder if bare else ROOT, env=env, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 180
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}{ready}").status_code == 200:
                    break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_the_same_package_is_registered_once(first: RunArtifacts, home: Home) -> None:
    decision = judge(first, home)[1]["folder"]
    one, _, _ = enroll(first, home, decision)
    again, registration, _ = enroll(first, home, decision, cause="another day")
    assert again == one
    assert jsonfile.read(registration / "registration.json")["new"] is False
    assert len(of(home).client.search_model_versions(f"name = '{NAME}'")) == 1
    other, _, _ = enroll(first, home, decision, data="d1")
    assert other.version == "2"
    assert other.digest != one.digest


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@pytest.mark.parametrize(
    "call",
    [
        "create_run",
        "log_batch",
        "log_artifacts",
        "log_inputs",
        "create_registered_model",
        "create_model_version",
        "set_terminated",
        "set_model_version_tag",
        "set_registered_model_alias",
    ],
)
def test_a_kill_at_any_moment_leaves_nothing_by_halves(
    first: RunArtifacts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    home: Home,
) -> None:
    decision = judge(first, home)[1]["folder"]
    client = mlflow_module().MlflowClient
    real = getattr(client, call)

    def dying(self: Any, *args: Any, **kwargs: Any) -> Any:
        real(self, *args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(client, call, dying)
        with pytest.raises(Killed):
            enroll(first, home, decision)
    # Whatever there is, nobody is shown a version that is not whole.
    shown = of(home).at(CHALLENGER)
    assert shown is None or shown.tags[registry.COMPLETE] == "true"
    registered, _, _ = enroll(first, home, decision)
    versions = of(home).client.search_model_versions(f"name = '{NAME}'")
    assert [item.version for item in versions if registry.COMPLETE not in item.tags] == []
    assert [str(item.version) for item in versions] == [registered.version]
    experiment = of(home).client.get_experiment_by_name(EXPERIMENT)
    runs = of(home).client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert of(home).at(CHALLENGER) == of(home).version(registered.version)


def test_an_unfinished_package_is_swept_away(
    first: RunArtifacts, tmp_path: Path, home: Home
) -> None:
    decision = judge(first, home)[1]["folder"]
    (home.packages / ".partial-x").mkdir(parents=True)
    registered, _, _ = enroll(first, home, decision)
    assert [path.name for path in home.packages.iterdir()] == [registered.digest]


# --- decision, promotion, rollback --------------------------------------------------------------


def test_the_way_of_champions(first: RunArtifacts, home: Home, tmp_path: Path) -> None:
    """First, the same, a tie, newer data; and back again."""
    assert champion_state(home.root) is None
    with pytest.raises(ToolwearError, match=r"There is no champion in .* yet; train one"):
        roll_back(home.root, "nothing there")
    assert enthrone(first, home)[::2] == (Outcome.PROMOTE_FIRST, "promoted")

    # The champion itself again.
    outcome, decision = judge(first, home)
    assert outcome is Outcome.KEEP_SAME
    assert decision["champion"]["version"] == "1"

    # Another seed on the same data: just as good is no reason.
    other = make_run(tmp_path / "other", seed=1)
    outcome, registered, done = enthrone(other, home)
    assert (outcome, registered.version, done) == (Outcome.KEEP_TIE, "2", None)
    assert of(home).version("2").tags[registry.GATE] == "keep_tie"
    found = of(home).at(CHAMPION)
    assert found is not None
    assert found.number == "1"

    # New data, not worse: the champion knows none of its rows, so all of them count.
    newer = make_run(tmp_path / "newer", seed=2, data_seed=5)
    outcome, registered, done = enthrone(newer, home, data="d5")
    assert (outcome, registered.version, done) == (Outcome.PROMOTE_NEWER, "3", "promoted")
    state = champion_state(home.root)
    assert state is not None
    assert (state["version"], state["package"]) == ("3", registered.digest)
    assert state["why"].startswith("promote_newer: On 96 rows of 6 runs that neither")
    previous = of(home).at(PREVIOUS)
    assert previous is not None
    assert previous.number == "1"

    pointed = pointer.read(home.root)
    assert pointed is not None
    assert (pointed.version, pointed.package_digest) == ("3", registered.digest)
    assert pointer.load(home.root, pointed).digest == registered.digest

    moved = roll_back(home.root, "it was noisy")
    pointed = pointer.read(home.root)
    assert pointed is not None
    assert (pointed.version, pointed.since) == ("1", moved["when"])
    assert (moved["from"], moved["to"], moved["why"]) == ("3", "1", "it was noisy")
    state = champion_state(home.root)
    assert state is not None
    assert state["version"] == "1"
    assert of(home).at(PREVIOUS) is None
    with pytest.raises(ToolwearError, match="no champion of toolwear before this one"):
        roll_back(home.root, "again")
    log = audit_log.entries(home)
    assert [(entry["action"], entry["from"], entry["to"]) for entry in log] == [
        ("promote", None, "1"),
        ("promote", "1", "3"),
        ("rollback", "3", "1"),
    ]


def test_a_newer_model_is_held_against_the_best_champion_that_there_has_been(
    first: RunArtifacts, tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    enthrone(first, home)
    enthrone(make_run(tmp_path / "second", seed=2, data_seed=5), home, data="d5")
    third = make_run(tmp_path / "third", seed=3, data_seed=6)
    outcome, decision = judge(third, home, data="d6")
    assert outcome is Outcome.PROMOTE_NEWER
    best = decision["best_champion"]
    assert (decision["champion"]["version"], best["version"], best["fair"]) == ("2", "1", True)
    assert best["difference"] == best["challenger"] - best["champion"]

    # As if the first had been better by far.
    real = compare

    def lower(ours: np.ndarray, theirs: np.ndarray, *rest: Any, **more: Any) -> Comparison:
        return dataclasses.replace(real(ours, theirs, *rest, **more), interval=(-0.02, -0.011))

    def scored(challenger: OnnxModel, champion: Champion, *rest: Any) -> Comparison:
        with monkeypatch.context() as patch:
            if champion.version == "1":
                patch.setattr("components.decide.scoring.compare", lower)
            return score(challenger, champion, *rest)

    monkeypatch.setattr("components.decide.earlier.score", scored)
    outcome, decision = judge(third, home, data="d6")
    assert outcome is Outcome.KEEP_BELOW_BEST
    assert "the best champion that there has been" in decision["reasons"][0]
    assert judge(third, home, data="d5")[0] is Outcome.KEEP_TIE, (
        "on the same data it is no question"
    )

    # A champion whose package is gone is said to be missing, not taken for no champion.
    (version,) = [of(home).version("1")]
    shutil.rmtree(home.packages / version.package_digest)
    outcome, decision = judge(third, home, data="d6")
    assert outcome is Outcome.PROMOTE_NEWER
    assert decision["best_champion"] is None
    assert any(reason.startswith("Version 1 was not compared: ") for reason in decision["reasons"])


def test_a_worse_model_on_other_data_stays_challenger(
    first: RunArtifacts, tmp_path: Path, home: Home
) -> None:
    enthrone(first, home)
    worse = make_run(tmp_path / "worse", noise=0.45, data_seed=5)
    figures = worse.metrics()
    known = figures["protocols"][schema.KNOWN_RUNS][schema.AUTO_SKLEARN]
    assert known["accuracy"] < 0.9, "the noise has made it worse"
    outcome, decision = judge(worse, home, data="d5")
    assert outcome is Outcome.REFUSE_THRESHOLD
    low, high = decision["comparison"]["interval"]
    assert low < high < 0
    # Held against no threshold, it is still worse than the champion.
    known.update(accuracy=1.0, mcc=1.0)
    jsonfile.write(worse.evaluation / "metrics.json", figures)
    assert judge(worse, home, data="d5")[0] is Outcome.KEEP_WORSE


def test_rows_that_the_champion_was_trained_on_do_not_count(
    first: RunArtifacts, tmp_path: Path, home: Home
) -> None:
    enthrone(first, home)
    path = first.split / "splits.parquet"
    before = path.read_bytes()
    splits = pd.read_parquet(path)
    tested = splits.index[splits[schema.KNOWN_RUNS] == "test"]
    trained = splits.index[splits[schema.KNOWN_RUNS] == "train"]
    splits.loc[tested[:10], schema.KNOWN_RUNS] = "train"
    splits.loc[trained[:10], schema.KNOWN_RUNS] = "test"
    try:
        splits.to_parquet(path, index=False)
        comparison = judge(first, home)[1]["comparison"]
    finally:
        path.write_bytes(before)
    assert (comparison["rows"], comparison["left_out"]) == (86, 10)


def spoil(run: RunArtifacts, name: str, **changes: Any) -> None:
    path = run.root / name
    value = jsonfile.read(path)
    for keys, new in changes.items():
        *way, last = keys.split("__")
        inner = value
        for key in way:
            inner = inner[key]
        inner[last] = new
    jsonfile.write(path, value)


KNOWN = "protocols__known_runs__auto_sklearn"


@pytest.mark.parametrize(
    ("file", "changes", "outcome"),
    [
        ("evaluation/metrics.json", {f"{KNOWN}__mcc": None}, Outcome.REFUSE_NAN),
        ("evaluation/metrics.json", {f"{KNOWN}__accuracy": 0.9}, Outcome.REFUSE_THRESHOLD),
        ("evaluation/metrics.json", {f"{KNOWN}__mcc": 0.9}, Outcome.REFUSE_THRESHOLD),
        ("validation/result.json", {"success": False}, Outcome.REFUSE_DATA),
        ("automl/export.json", {"label_agreement": 0.9999}, Outcome.REFUSE_EXPORT),
        ("automl/export.json", {"max_abs_diff": 0.01}, Outcome.REFUSE_EXPORT),
        ("automl/export.json", {"sha256": "0" * 64}, Outcome.REFUSE_EXPORT),
        ("automl/export.json", {"full_ensemble__label_agreement": 0.99}, Outcome.REFUSE_EXPORT),
        ("evaluation/metrics.json", {"noise__numerical": 0.25}, Outcome.REFUSE_BRITTLE),
        (
            "explanation/explanations.json",
            {"shap__quality__exact_error": 0.3},
            Outcome.REFUSE_EXPLANATIONS,
        ),
        (
            "explanation/explanations.json",
            {"shap__quality__deletion_top": 0.2},
            Outcome.REFUSE_EXPLANATIONS,
        ),
        (
            "explanation/explanations.json",
            {"surrogate__quality__fidelity": 0.5},
            Outcome.REFUSE_EXPLANATIONS,
        ),
        (
            "explanation/explanations.json",
            {"lime__quality__rank_correlation_mean": 0.5},
            Outcome.REFUSE_EXPLANATIONS,
        ),
    ],
)
def test_the_step_refuses(
    tmp_path: Path,
    home: Home,
    file: str,
    changes: dict[str, Any],
    outcome: Outcome,
) -> None:
    run = make_run(tmp_path / "run")
    spoil(run, file, **changes)
    found, decision = judge(run, home)
    assert found is outcome
    assert decision["promotes"] is False
    assert (decision["folder"] / "decision.png").stat().st_size > 5000


def test_the_step_refuses_a_slow_model(
    first: RunArtifacts, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Footprint(bytes=1, tree_nodes=1, memory_mib=1.0, milliseconds_per_row=5.1)
    monkeypatch.setattr("components.decide.step.measure", lambda model, rows: slow)
    outcome, decision = judge(first, home)
    assert outcome is Outcome.REFUSE_SLOW
    assert "is 5.1; at most 5 is needed" in decision["reasons"][0]


def test_the_step_measures_the_graph_and_refuses_what_no_server_holds(
    first: RunArtifacts, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = judge(first, home)[1]["challenger"]["footprint"]
    assert found["bytes"] == (first.automl / "model.onnx").stat().st_size
    assert found["tree_nodes"] > 100
    assert found["memory_mib"] > 1
    limits = thresholds()
    predictor = limits.serving.servers["predictor"]
    tight = predictor.model_copy(update={"limit_mib": predictor.without_model_mib})
    serving = limits.serving.model_copy(update={"servers": {"predictor": tight}})
    tightened = limits.model_copy(update={"serving": serving})
    monkeypatch.setattr("components.decide.step.thresholds", lambda: tightened)
    outcome, decision = judge(first, home)
    assert outcome is Outcome.REFUSE_TOO_LARGE
    assert decision["reasons"][0].startswith("Memory of the predictor with this model, MiB is ")


def test_the_step_refuses_other_features_than_the_champions(
    first: RunArtifacts, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    enthrone(first, home)
    from toolwear.release import gate as logic

    real = logic.same_interface
    monkeypatch.setattr(logic, "same_interface", lambda ours, theirs: real([*ours[1:]], theirs))
    outcome, decision = judge(first, home)
    assert outcome is Outcome.REFUSE_SCHEMA_CHANGED
    assert f"it leaves out {COLUMNS[0]}" in decision["reasons"][0]
    assert decision["comparison"] is None


def test_promote_looks_once_more(first: RunArtifacts, tmp_path: Path, home: Home) -> None:
    decision = judge(first, home)[1]["folder"]
    registered, registration, _ = enroll(first, home, decision)
    check = tmp_path / "check"
    good = {"passed": True, "reason": "", "package_digest": registered.digest}

    def attempt(says: str, file: Path, **changes: Any) -> None:
        before = file.read_text() if file.exists() else json.dumps(good)
        jsonfile.write(file, {**json.loads(before), **changes})
        with pytest.raises(ToolwearError, match=says):
            promote(decision, registration, check, "test", home, "", tmp_path / "promotion")
        file.write_text(before)

    jsonfile.write(check / "check.json", good)
    attempt("The decision is keep_tie", decision / "decision.json", decision="keep_tie")
    attempt("failed.*too late", check / "check.json", passed=False, reason="too late")
    attempt("of different models", check / "check.json", package_digest="0" * 64)
    attempt("of different models", registration / "registration.json", model_sha256="0" * 64)
    model = home.packages / registered.digest / "model.onnx"
    whole = model.read_bytes()
    model.chmod(0o644)
    model.write_bytes(whole[:-1])
    attempt("was changed after it was registered", tmp_path / "unused.json")
    model.write_bytes(whole)
    assert of(home).at(CHAMPION) is None
    assert not home.records.exists()
    done = promote(decision, registration, check, "test", home, "", tmp_path / "promotion")
    assert done == "promoted"
    done = promote(decision, registration, check, "test", home, "", tmp_path / "second")
    assert done == "already_champion"
    assert len(audit_log.entries(home)) == 1


def test_a_promotion_that_was_cut_off_is_found_and_logged(
    first: RunArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    enthrone(first, home)
    newer = make_run(tmp_path / "newer", seed=2, data_seed=5)
    client = mlflow_module().MlflowClient
    real = client.set_registered_model_alias

    def dying(self: Any, name: str, alias: str, version: str) -> None:
        if alias == CHAMPION:
            raise Killed
        real(self, name, alias, version)

    with monkeypatch.context() as patch:
        patch.setattr(client, "set_registered_model_alias", dying)
        with pytest.raises(Killed):
            enthrone(newer, home, data="d5")
    # On the log, but not done; whoever asks is told the truth.
    assert [entry["to"] for entry in audit_log.entries(home)] == ["1", "2"]
    state = champion_state(home.root)
    assert state is not None
    assert (state["version"], state["why"]) == ("1", "not on the audit log")
    assert enthrone(newer, home, data="d5")[2] == "promoted"
    log = audit_log.entries(home)
    assert [(entry["action"], entry["from"], entry["to"]) for entry in log] == [
        ("promote", None, "1"),
        ("promote", "1", "2"),
        ("found", "2", "1"),
        ("promote", "1", "2"),
    ]
    assert roll_back(home.root, "test")["to"] == "1"
