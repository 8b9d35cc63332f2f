"""The automatic search with the real auto-sklearn, on a few rows and a few evaluations."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from kfp import dsl, local
from kfp.dsl import Artifact, Dataset

from components.automl import launch
from components.automl.component import automl
from tests.automl import artifacts
from tests.automl.names import BY_COLUMN, CLASSIFIERS, OF_TREES, PREPROCESSORS, RESCALERS
from toolwear.common import jsonfile
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.common.steps import EVENTS_FOLDER, run_step
from toolwear.common.thresholds import thresholds
from toolwear.dataset import schema
from toolwear.features.dataset import load
from toolwear.model.onnx_model import OnnxModel

# Four models a search, all else equal: what is found depends on the seed alone.
REPEATABLE: dict[str, Any] = {
    "seed": 0,
    "seconds": 300,
    "evaluations": 4,
    "memory_mb": 6000,
    "cores": 2,
    "dask": "",
    "outer_folds": 1,
    "outer_seconds": 30,
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return small artifacts of the features and the split step."""
    return artifacts.write(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def made(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the component made."""
    outputs = tmp_path_factory.mktemp("automl") / "outputs"
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(outputs))

    @dsl.pipeline(name="automl-alone")
    def graph(features: str, split: str) -> None:
        table = dsl.importer(artifact_uri=features, artifact_class=Dataset)
        folds = dsl.importer(artifact_uri=split, artifact_class=Artifact)
        automl(features=table.output, split=folds.output, **REPEATABLE)

    graph(features=str(inputs[0]), split=str(inputs[1]))
    (found,) = outputs.glob("**/export.json")
    return found.parent


def test_the_graph_is_auto_sklearn_under_another_runtime(
    made: Path, inputs: tuple[Path, Path]
) -> None:
    samples = load(inputs[0], schema.PUBLISHED)
    native = pd.read_parquet(made / "native.parquet")
    assert native[schema.SAMPLE_ID].tolist() == samples.frame[schema.SAMPLE_ID].tolist()
    p = OnnxModel(made / "model.onnx").worn(samples.X)
    limit = thresholds().export
    assert np.abs(p - native["p"]).max() <= limit.probability_tolerance
    assert np.array_equal(p > 0.5, native["p"] > 0.5)
    assert np.mean((p > 0.5) == samples.y) > 0.9  # a model, not the dummy

    export = jsonfile.read(made / "export.json")
    assert export["rows"] == artifacts.RUNS * artifacts.ROWS_PER_RUN > len(samples.y)
    assert export["label_agreement"] == 1.0
    assert export["max_abs_diff"] <= limit.probability_tolerance
    assert export["dropped_members"] == []
    assert export["full_ensemble"]["max_abs_diff"] == export["max_abs_diff"]


def test_predictions_are_on_held_out_rows_only(made: Path, inputs: tuple[Path, Path]) -> None:
    predictions = pd.read_parquet(made / "predictions.parquet")
    assert predictions.columns.tolist() == [
        *("protocol", "feature_set", "model", "fold", schema.SAMPLE_ID, schema.RUN_ID, "y", "p")
    ]
    assert set(predictions["model"]) == {schema.AUTO_SKLEARN}
    assert predictions["p"].between(0, 1).all()
    by_protocol = dict(iter(predictions.groupby("protocol")))
    assert set(by_protocol) == set(schema.PROTOCOLS)

    splits = pd.read_parquet(inputs[1] / "splits.parquet").set_index(schema.SAMPLE_ID)
    known = by_protocol[schema.KNOWN_RUNS]
    tested = splits.index[splits[schema.KNOWN_RUNS] == "test"]
    assert set(known[schema.SAMPLE_ID]) == set(tested)
    assert set(known["feature_set"]) == {schema.PUBLISHED}

    samples = load(inputs[0], schema.RESPONSE)
    for protocol in (schema.NEW_RUN, schema.NEW_SETTING):
        table = by_protocol[protocol]
        (fold,) = set(table["fold"])
        held = samples.run if protocol == schema.NEW_RUN else samples.setting
        ids = samples.frame[schema.SAMPLE_ID][held == fold]
        assert table[schema.SAMPLE_ID].tolist() == ids.tolist()
        assert table["y"].tolist() == samples.y[held == fold].tolist()
        # The fold's own model made them; it travels as a graph, too.
        path = made / "outer" / protocol / f"{fold.replace('/', '-')}.onnx"
        again = OnnxModel(path).worn(samples.X[held == fold])
        assert again == pytest.approx(table["p"].to_numpy(), abs=1e-7)


def test_the_search_is_on_record(made: Path) -> None:
    search = jsonfile.read(made / "search.json")
    assert search["counts"]["evaluations"] == 4
    costs = [entry["cost"] for entry in search["leaderboard"] if entry["cost"] is not None]
    assert costs == sorted(costs)
    assert [entry["rank"] for entry in search["leaderboard"][: len(costs)]] == [
        *range(1, len(costs) + 1)
    ]
    # SMAC rounds the costs of its trajectory.
    best = min(point["cost"] for point in search["trajectory"])
    assert best == pytest.approx(costs[0], abs=1e-4)
    assert sum(member["weight"] for member in search["ensemble"]) == pytest.approx(1)
    assert {entry["classifier"] for entry in search["leaderboard"]} <= set(
        search["settings"]["space"]["classifier"]
    )
    assert search["settings"]["evaluations"] == 4
    assert search["versions"]["auto-sklearn"] == "0.15.0"
    assert search["versions"]["python"].startswith("3.9.")
    assert [entry["protocol"] for entry in search["outer"]] == [
        schema.NEW_RUN,
        schema.NEW_SETTING,
    ]
    assert all(entry["counts"]["evaluations"] == 4 for entry in search["outer"])


def test_no_pickle_and_no_scratch_file_is_left(made: Path) -> None:
    files = {path.suffix for path in made.rglob("*") if path.is_file()}
    assert files == {".onnx", ".parquet", ".json"}


def test_the_same_seed_and_evaluations_give_the_same_bytes(
    made: Path,
    inputs: tuple[Path, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launch, "_TELL_EVERY", 1.0)
    launch.automl(*inputs, tmp_path / "again", **REPEATABLE)
    for name in ("model.onnx", "predictions.parquet", "native.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (made / name).read_bytes(), name
    told = capfd.readouterr().out
    assert "main search: 4 evaluations in " in told
    assert "outer search 2 of 2 (new_setting" in told


def test_every_converter_agrees_with_its_component() -> None:
    done = subprocess.run(
        [os.environ["AUTOML_PYTHON"], "-m", "tests.automl.convert_cases"],
        check=True,
        capture_output=True,
        cwd=ROOT,
        text=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {*CLASSIFIERS, *PREPROCESSORS, *RESCALERS}
    for name, agreement in found.items():
        assert agreement["label_agreement"] == 1.0, name
        assert agreement["max_abs_diff"] < 1e-7, name
    # Trees compare with the middle between recorded values, whatever rescales them.
    assert {name: found[name]["noise"] for name in (*OF_TREES, *BY_COLUMN)} == dict.fromkeys(
        (*OF_TREES, *BY_COLUMN), 0.0
    )


def test_one_class_is_told_once_and_as_the_users_mistake(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    features, split = artifacts.write(tmp_path, classes=1)
    monkeypatch.setenv(EVENTS_FOLDER, str(tmp_path / "events"))
    with pytest.raises(SystemExit) as ended:
        run_step(
            "automl",
            launch.automl,
            features=features,
            split=split,
            output=tmp_path / "out",
            **REPEATABLE,
        )
    assert ended.value.code == EXIT_USAGE
    event = jsonfile.read(tmp_path / "events" / "automl.json")
    assert event["user_error"] is True
    assert event["reason"].startswith("All training rows have the same label")
    assert capfd.readouterr().err.count("All training rows have the same label") == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_auto_sklearn_is_told_in_one_sentence(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(launch.PYTHON, "/nowhere/python")
    with pytest.raises(ToolwearError, match="AUTOML_PYTHON is '/nowhere/python', which cannot"):
        launch.automl(*inputs, tmp_path / "out", **REPEATABLE)
    monkeypatch.delenv(launch.PYTHON)
    with pytest.raises(ToolwearError, match=f"not installed for {sys.executable}; set AUTOML_PYTH"):
        launch.automl(*inputs, tmp_path / "out", **REPEATABLE)


def test_a_killed_search_leaves_neither_processes_nor_files(
    inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    settings: dict[str, Any] = {**REPEATABLE, "evaluations": 0, "seconds": 60}
    arguments = [*map(str, inputs), str(tmp_path / "out"), json.dumps(settings)]
    program = (
        "import json, sys; from pathlib import Path; from components.automl.launch import automl;"
        "automl(*map(Path, sys.argv[1:4]), **json.loads(sys.argv[4]))"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], env={**os.environ, "TMPDIR": str(scratch)}
    )
    # Both searches have begun: the main one and, in a process beside it, an outer one.
    _wait_for(lambda: len(list(scratch.glob("*/*/.auto-sklearn"))) >= 2)
    started = psutil.Process(launcher.pid).children(recursive=True)
    assert len(started) >= 3
    launcher.kill()
    launcher.wait()
    _wait_for(lambda: not any(_runs(process) for process in started))
    assert list(scratch.iterdir()) == []


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _wait_for(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
