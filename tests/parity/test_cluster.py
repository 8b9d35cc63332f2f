"""The third side: a run on Kubeflow by the real client, its artifacts from a real object store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.settings import HOME_PATH
from tests.kubeflow.stub import Kubeflow, serving
from tests.object_store import client, credentials, object_store
from tests.parity.test_compare import left
from tools.parity import __main__ as command
from tools.parity import cluster, rules
from tools.parity.cluster import Cluster, run_there
from tools.parity.compare import Verdict, compare
from toolwear.cli.graph import graph_digest
from toolwear.common.errors import ToolwearError
from toolwear.run.kubeflow import PIPELINE

BUCKET, PREFIX = "mlpipeline", "v2/artifacts"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with object_store(tmp_path_factory.mktemp("store"), BUCKET) as url:
        yield url


@pytest.fixture
def kubeflow(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    for name, value in credentials(store).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("toolwear.run.kubeflow.POLL_SECONDS", 0.01)
    with serving() as stub:
        yield stub


def keep(store: str, run_id: str, root: Path, salt: str) -> None:
    """Put what steps left where Kubeflow's launcher puts it."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name != "executor_output.json":
            task, *rest = path.relative_to(root).parts
            key = "/".join((PREFIX, PIPELINE, run_id, task, salt, *rest))
            client(store).put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())


def keeping(store: str, root: Path, told: list[str]) -> Callable[[str], None]:
    """Return a listener that lets the run leave `root` as soon as it has started."""

    def tell(text: str) -> None:
        if not told:
            keep(store, text.rpartition("/")[2], root, "1b2c")
        told.append(text)

    return tell


def parameters(**values: Any) -> dict[str, Any]:
    return {"data": "/var/lib/toolwear/recordings", "seed": 3, **values}


def test_a_run_there_is_uploaded_without_its_cache_and_its_artifacts_are_compared(
    kubeflow: Kubeflow, store: str, tmp_path: Path
) -> None:
    here, there = left(tmp_path / "subprocess"), left(tmp_path / "there", HOME_PATH)
    told: list[str] = []
    where = Cluster(kubeflow.url, seconds=60)
    made = run_there(
        where, "parity", parameters(), tmp_path / "runs", keeping(store, there.root, told)
    )
    (run,) = kubeflow.runs
    assert run["runtime_config"]["parameters"]["seed"] == 3
    spec = kubeflow.specs[run["pipeline_version_reference"]["pipeline_version_id"]]
    tasks = [
        task
        for part in (spec["root"], *spec["components"].values())
        for task in part.get("dag", {}).get("tasks", {}).values()
    ]
    assert len(tasks) > 17
    assert all(task["cachingOptions"] == {} for task in tasks)
    # The lineage names the graph as it is compiled everywhere.
    assert run["runtime_config"]["parameters"]["graph_digest"] != graph_digest(
        tmp_path / "runs" / "graph.yaml"
    )
    assert any("Read the recordings: succeeded" in line for line in told)
    rows = {row.name: row for row in compare(here, made, 0, (), rules.NOT_IN_STORE)}
    assert {row.verdict for row in rows.values()} == {Verdict.SAME}
    assert rows["train/models"].files == 4
    assert rows["train/parameters"].reasons == (rules.NOT_IN_STORE["*/parameters"],)


def test_a_difference_and_a_missing_artifact_there_are_seen(
    kubeflow: Kubeflow, store: str, tmp_path: Path
) -> None:
    here, there = left(tmp_path / "subprocess"), left(tmp_path / "there", HOME_PATH)
    (there.root / "report" / "summary").unlink()
    path = there.root / "train" / "models" / "training.json"
    path.write_text(path.read_text().replace("0.75", "0.8"))
    made = run_there(
        Cluster(kubeflow.url, seconds=60),
        "parity",
        parameters(),
        tmp_path / "runs",
        keeping(store, there.root, []),
    )
    rows = {row.name: row for row in compare(here, made, 0, (), rules.NOT_IN_STORE)}
    assert rows["report/summary"].reasons == ("kubeflow has none",)
    assert rows["train/models"].verdict is Verdict.DIFFERS


def test_a_task_that_was_tried_again_counts_by_its_last_attempt(
    kubeflow: Kubeflow, store: str, tmp_path: Path
) -> None:
    first, second = left(tmp_path / "first"), left(tmp_path / "second")
    (first.root / "train" / "models" / "old.onnx").write_bytes(b"old")
    keep(store, "run-1", first.root, "zzzz")
    time.sleep(1.1)  # the store knows seconds
    keep(store, "run-1", second.root, "aaaa")
    cluster.fetch(f"s3://{BUCKET}/{PREFIX}/", "run-1", tmp_path / "fetched")
    names = {path.name for path in (tmp_path / "fetched" / "train" / "models").iterdir()}
    assert names == {path.name for path in (second.root / "train" / "models").iterdir()}


def test_a_run_that_fails_or_left_nothing_is_no_parity(
    kubeflow: Kubeflow, store: str, tmp_path: Path
) -> None:
    where = Cluster(kubeflow.url, seconds=60)
    with pytest.raises(ToolwearError, match="has nothing below mlpipeline/v2/artifacts"):
        run_there(where, "empty", parameters(), tmp_path, lambda _: None)
    kubeflow.plan = ["RUNNING", "FAILED"]
    with pytest.raises(ToolwearError, match=r"The run broken .*is FAILED"):
        run_there(where, "broken", parameters(), tmp_path, lambda _: None)
    with pytest.raises(ToolwearError, match="does not give the artifacts"):
        cluster.fetch("no-such-bucket/prefix", "run", tmp_path)


def test_the_command_asks_for_the_stores_key_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    arguments = ["parity", "--kfp", "http://127.0.0.1:1", "--folder", str(tmp_path / "none")]
    monkeypatch.setattr("sys.argv", arguments)
    assert command.main() == 2
    assert "AWS_ACCESS_KEY_ID" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_command_holds_all_three_side_by_side(
    kubeflow: Kubeflow,
    store: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for runner in ("subprocess", "docker"):
        run = tmp_path / runner / "20261126T000000Z-000000"
        left(run / "artifacts" / "graph")
        (tmp_path / runner / "latest").symlink_to(run.name)
    there = left(tmp_path / "there", HOME_PATH)
    path = there.root / "report" / "summary"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"extra": 1}))
    monkeypatch.setattr(cluster, "tell", keeping(store, there.root, []))
    monkeypatch.delenv("TOOLWEAR_DATA", raising=False)
    monkeypatch.setattr(
        "sys.argv",
        ["parity", "--compare", "--folder", str(tmp_path), "--kfp", kubeflow.url],
    )
    assert command.main() == 1
    said = capsys.readouterr().out
    assert "subprocess and kubeflow" in said
    assert "extra is on one side only" in said
    assert "1 artifacts differ" in said
