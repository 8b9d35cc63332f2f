"""The ingest step as Kubeflow Pipelines runs it."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from kfp import local

from components.ingest.component import ingest
from datasets.cnc_mill.simulator import SimulatorSettings, simulate
from toolwear.common import jsonfile
from toolwear.common.steps import EVENTS_FOLDER
from toolwear.dataset import schema
from toolwear.dataset.sources import source_digest


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder of four simulated runs."""
    simulate(SimulatorSettings.without_traps(runs=4), tmp_path / "recordings")
    return tmp_path / "recordings"


@pytest.fixture(autouse=True)
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run components as processes and return the folder in which steps record their end."""
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    monkeypatch.setenv(EVENTS_FOLDER, str(tmp_path / "events"))
    return tmp_path / "events"


def test_outputs_and_metadata_agree_with_the_artifact(data: Path) -> None:
    digest = source_digest(data)
    task = ingest(data=str(data), data_digest=digest, dataset="", allow_simulator=False)
    telemetry = task.outputs["telemetry"]
    manifest = jsonfile.read(Path(telemetry.path) / "manifest.json")
    rows = sum(
        pq.ParquetFile(part).metadata.num_rows for part in Path(telemetry.path).glob("part-*")
    )
    assert task.outputs["rows"] == manifest["rows"] == rows > 1000
    assert task.outputs["digest"] == manifest["digest"] == digest
    assert task.outputs["source"] == "simulator"
    assert telemetry.metadata == {"digest": digest, "rows": rows}
    runs = pq.read_table(Path(telemetry.path) / "runs.parquet")
    assert runs[schema.RUN_ID].to_pylist() == ["01", "02", "03", "04"]
    assert sum(runs["rows"].to_pylist()) == rows


def test_a_users_mistake_ends_the_step_with_its_sentence(data: Path, events: Path) -> None:
    (data / "train.csv").unlink()
    with pytest.raises(RuntimeError, match="ingest"):
        ingest(data=str(data), data_digest="", dataset="", allow_simulator=False)
    event = jsonfile.read(events / "ingest.json")
    assert event["state"] == "failed"
    assert event["user_error"] is True
    assert "lacks train.csv, the table of runs" in event["reason"]


def test_data_that_changed_since_submission_end_the_step(data: Path, events: Path) -> None:
    with pytest.raises(RuntimeError, match="ingest"):
        ingest(data=str(data), data_digest="0" * 64, dataset="", allow_simulator=False)
    reason = jsonfile.read(events / "ingest.json")["reason"]
    assert reason.startswith("the data changed since the run was submitted")
