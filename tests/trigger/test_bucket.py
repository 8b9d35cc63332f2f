"""New recordings in a bucket of a real S3 server start one run, on a copy of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.cnc_mill.simulator import SimulatorSettings, simulate
from tests.object_store import client, credentials, object_store
from tests.trigger.service import Service, wait_for
from toolwear.dataset.sources import source_digest

BUCKET = "recordings"


def test_new_objects_start_one_run_on_a_copy(
    service_of: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mill, store = tmp_path / "mill", tmp_path / "store"
    simulate(SimulatorSettings(runs=4), mill)
    store.mkdir()
    with object_store(store, BUCKET) as url:
        for name, value in credentials(url, "another-secret").items():
            monkeypatch.setenv(name, value)
        options = (f"--watch=s3://{BUCKET}/mill-1", "--settle_seconds=0", "--cooldown_seconds=0")
        service = service_of(*options, settings=())
        wait_for(lambda: "can't be read" in service.log.read_text())
        assert "no such folder" in service.post("/retrain", {}).json()["error"]
        service.kill()
        for name, value in credentials(url).items():
            monkeypatch.setenv(name, value)

        s3 = client(url)
        s3.put_object(Bucket=BUCKET, Key="mill-1/deeper/train.csv", Body=b"not looked at")
        for path in mill.iterdir():
            if path.name != "train.csv":
                s3.upload_file(str(path), BUCKET, f"mill-1/{path.name}")
        service.start()
        wait_for(lambda: "not whole yet" in service.log.read_text())
        s3.upload_file(str(mill / "train.csv"), BUCKET, "mill-1/train.csv")
        wait_for(lambda: [run["status"] for run in service.runs()] == ["succeeded"])
        (started,) = service.starts()
        copy = Path(started["data"])
        assert copy.parent == service.home / "trigger" / "recordings"
        assert source_digest(copy) == source_digest(mill)
        assert "deeper" not in {path.name for path in copy.iterdir()}

        service.kill()
        service.start()
        service.ends(service.ask())  # on the same recordings, by the link to the newest
        assert Path(service.starts()[1]["data"]).resolve() == copy
        body = (mill / "experiment_01.csv").read_bytes()
        s3.put_object(Bucket=BUCKET, Key="mill-1/experiment_01.csv", Body=body + body[-200:])
        wait_for(lambda: len(service.starts()) == 3)
        wait_for(lambda: [run["status"] for run in service.runs()] == ["succeeded"] * 3)
        assert Path(service.starts()[2]["data"]).name != copy.name
