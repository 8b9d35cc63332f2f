"""The graph that scores: what a cluster would be asked to run, and a run of it here."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from kfp import components, local

from components.score.progress import noted
from components.score.step import score
from pipelines.settings import CODE_DIGEST, SCORING, SEAL_SECRET, STEP_LABEL, STORE_SECRET
from tests.object_store import client, credentials, object_store
from tests.serving import stack
from tests.serving.stack import Place, make_place
from toolwear.cli.graph import Graph, compile_graph, graph_digest
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.run.run_name import new_run_name
from toolwear.run.scoring import PROGRESS_FILE, Progress, kept, progress
from toolwear.run.scoring import VERDICTS_FILE as FILE
from toolwear.workspace.home import Home

RUNS = ("01", "06")


@pytest.fixture(scope="module")
def place(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("home"), features)


@pytest.fixture(scope="module")
def recordings(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two recordings with their table, and one that is cut off."""
    folder = tmp_path_factory.mktemp("recordings")
    for name in ("train.csv", *(f"experiment_{run}.csv" for run in RUNS)):
        shutil.copy(real_data / name, folder)
    whole = (real_data / "experiment_07.csv").read_bytes()
    (folder / "experiment_07.csv").write_bytes(whole[: len(whole) // 2])
    return folder


def test_the_compiled_graph_has_its_place_on_a_cluster(tmp_path: Path) -> None:
    path = tmp_path / "scoring.yaml"
    assert compile_graph(Graph.SCORING, path) == graph_digest(path)
    spec, platform = yaml.safe_load_all(path.read_text())
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert set(inputs) == {"data", "settings", "dataset", "target", "job"}
    assert all(one["description"] for one in inputs.values())
    (task,) = spec["root"]["dag"]["tasks"].values()
    assert task["taskInfo"]["name"] == SCORING["score"].says
    assert not task["cachingOptions"].get("enableCache", False)
    (executor,) = spec["deploymentSpec"]["executors"].values()
    container = executor["container"]
    assert container["image"] == "toolwear/pipeline:dev"
    assert {"resourceCpuLimit", "resourceMemoryLimit"} <= set(container["resources"])
    assert [entry["name"] for entry in container["env"]] == [CODE_DIGEST]
    (pod,) = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    assert pod["podMetadata"]["labels"] == {STEP_LABEL: "score"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert {one["secretName"] for one in pod["secretAsEnv"]} == {STORE_SECRET, SEAL_SECRET}
    names = {path.name for path in (ROOT / "components" / "score").glob("*.py")}
    assert {"__init__.py", "component.py", "step.py"} <= names


def test_a_folder_is_scored_by_the_graph(
    place: Place, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLWEAR_HOME", str(place.home))
    compile_graph(Graph.SCORING, tmp_path / "scoring.yaml")
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(tmp_path / "artifacts"),
        enable_caching=False,
    )
    graph = components.load_component_from_file(str(tmp_path / "scoring.yaml"))
    target = tmp_path / "shift" / "verdicts"
    graph(data=str(recordings), target=str(target))
    (file,) = (tmp_path / "artifacts").rglob(FILE)
    check(pd.read_parquet(file), place)
    assert [path.name for path in target.iterdir()] == [FILE]
    assert (target / FILE).read_bytes() == file.read_bytes()


def test_a_bucket_is_scored_and_what_can_t_be_read_is_told(
    place: Place, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    with object_store(tmp_path / "store", "shift") as url:
        for name, value in credentials(url).items():
            monkeypatch.setenv(name, value)
        for file in recordings.iterdir():
            client(url).upload_file(str(file), "shift", f"night/{file.name}")
        asked: dict[str, Any] = {"settings": "", "dataset": "", "job": ""}
        asked["home"] = Home.at(place.home)
        asked["target"] = "s3://shift/verdicts/night/"
        counts = score(data="s3://shift/night", output=tmp_path / "found", **asked)
        assert counts == {"recordings": 3, "faulty": 1}
        check(pd.read_parquet(tmp_path / "found" / FILE), place)
        sent = client(url).get_object(Bucket="shift", Key=f"verdicts/night/{FILE}")["Body"].read()
        assert sent == (tmp_path / "found" / FILE).read_bytes()
        with pytest.raises(ToolwearError, match="s3://shift/day holds no recordings"):
            score(data="s3://shift/day", output=tmp_path / "none", **asked)
        client(url).upload_file(str(recordings / "experiment_01.csv"), "shift", "alone/a.csv")
        with pytest.raises(ToolwearError, match=r"scored: s3://shift/alone/a\.csv has no row"):
            score(data="s3://shift/alone/", output=tmp_path / "none", **asked)
        with pytest.raises(ToolwearError, match="s3://other/night can't be read"):
            score(data="s3://other/night", output=tmp_path / "none", **asked)
        for target, sentence in (
            ("s3://other/verdicts", "s3://other/verdicts can't be written to"),
            ("s3://shift/night/", "where the recordings are"),
            (f"{recordings}/train.csv", "can't be used: a part of its path is a file"),
        ):
            asked |= {"target": target, "output": tmp_path / target[-4:].strip("/")}
            with pytest.raises(ToolwearError, match=sentence):
                score(data="s3://shift/night", **asked)
        asked |= {"target": "", "job": "../../night"}
        with pytest.raises(ToolwearError, match="is not the name of a job"):
            score(data="s3://shift/night", **asked)


def test_progress_is_read_while_the_work_goes_on_and_written_rarely(tmp_path: Path) -> None:
    home, name = Home.at(tmp_path), new_run_name()
    file = kept(home, name) / PROGRESS_FILE
    assert progress(home, name) == Progress()
    written = set()

    def seen(wanted: Progress) -> bool:
        if file.exists():
            written.add(file.stat().st_mtime_ns)
        return progress(home, name) == wanted

    with noted(kept(home, name)) as note:
        for number in range(2000):
            note(done=number, of=2000, last=f"{number}.csv: worn")
        stack.wait_for(partial(seen, Progress(done=1999, of=2000, last="1999.csv: worn")))
        note(rows=7)
        stack.wait_for(partial(seen, Progress(done=1999, of=2000, rows=7, last="1999.csv: worn")))
        note(done=2000)
        assert len(written) <= 3
    assert seen(Progress(done=2000, of=2000, rows=7, last="1999.csv: worn"))
    with suppress(ToolwearError), noted(kept(home, name)) as note:
        note(done=3, of=4)
        raise ToolwearError("the work fails")
    assert seen(Progress(done=3, of=4))
    file.write_text("{")
    assert progress(home, name) == Progress()
    # What can't be written for a while is written at the end, or told.
    with noted(file) as note:
        note(done=1)
        time.sleep(1.5)
        file.unlink()
    assert jsonfile.read(file / PROGRESS_FILE)["done"] == 1
    with (
        pytest.raises(ToolwearError, match="a part of its path is a file"),
        noted(file / PROGRESS_FILE) as note,
    ):
        note(done=1)


def check(found: pd.DataFrame, place: Place) -> None:
    rows = found.set_index("recording")
    assert list(rows.index) == [f"experiment_{run}.csv" for run in (*RUNS, "07")]
    whole = rows.iloc[:2]
    assert whole["package"].tolist() == [place.packages[0].digest] * 2
    assert whole["feedrate"].tolist() == [6.0, 6.0]
    assert (whole[["worn", "unworn", "not_sure"]].sum(axis=1) - 1).abs().max() < 1e-5
    assert whole["fault"].isna().all()
    faulty = rows.loc["experiment_07.csv"]
    assert "experiment_07.csv" in faulty["fault"]
    assert faulty.drop("fault").isna().all()
