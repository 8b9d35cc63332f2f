"""The search spread over a real Dask cluster of two workers in auto-sklearn's environment."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from components.automl import launch
from tests.automl import artifacts
from tests.component.test_automl import REPEATABLE
from tests.ports import free_port
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.workspace.home import HOME_VARIABLE

_PATIENCE = 60.0
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Cluster:
    address: str
    workers: list[subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return artifacts.write(tmp_path_factory.mktemp("inputs"))


def _started(module: str, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [os.environ["AUTOML_PYTHON"], "-m", f"distributed.cli.{module}", *arguments]
    with log.open("wb") as stream:
        return subprocess.Popen(
            command,
            stdout=stream,
            stderr=stream,
            cwd=log.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Yield a scheduler with two workers, as `dask worker --no-nanny` starts them."""
    address = f"tcp://127.0.0.1:{free_port()}"
    scheduler = _started(
        "dask_scheduler", tmp_path / "scheduler.log", "--no-dashboard", f"--port={address[16:]}"
    )
    options = ["--no-nanny", "--no-dashboard", "--nthreads=1", "--memory-limit=0"]
    logs = [tmp_path / f"worker-{number}.log" for number in range(2)]
    scheduler_and_workers = [scheduler]
    scheduler_and_workers += [
        _started("dask_worker", log, address, "--host=127.0.0.1", *options) for log in logs
    ]
    try:
        deadline = time.monotonic() + _PATIENCE
        while not all("Registered to" in log.read_text() for log in logs):
            assert time.monotonic() < deadline, [log.read_text()[-1000:] for log in logs]
            time.sleep(0.2)
        yield Cluster(address, scheduler_and_workers[1:])
    finally:
        for process in scheduler_and_workers:
            process.kill()
            process.wait()


def _work_of_children(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU seconds of the evaluations of a worker: children of a process it forks."""
    times = [child.cpu_times() for child in psutil.Process(process.pid).children(recursive=True)]
    return float(sum(each.user + each.children_user for each in times))


def test_both_workers_try_models_and_the_step_makes_what_it_always_makes(
    inputs: tuple[Path, Path], cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    output = tmp_path / "automl"
    before = [_work_of_children(worker) for worker in cluster.workers]
    launch.automl(*inputs, output, **{**REPEATABLE, "dask": cluster.address})
    search = jsonfile.read(output / "search.json")
    assert search["jobs"] == 2
    assert search["settings"]["dask"] == cluster.address
    assert search["counts"]["evaluations"] == REPEATABLE["evaluations"]
    assert (output / "model.onnx").stat().st_size > 0
    assert jsonfile.read(output / "export.json")["label_agreement"] == 1.0
    for worker, was in zip(cluster.workers, before, strict=True):
        assert worker.poll() is None, "the search ended a worker that is not its own"
        assert _work_of_children(worker) > was + 0.5, "a worker had nothing to do"
    assert list(home.iterdir()) == [], "the shared scratch folder was left"


def test_no_scheduler_is_told_in_a_sentence(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(ToolwearError, match=f"No Dask scheduler answers at {address}"):
        launch.automl(*inputs, tmp_path / "automl", **{**REPEATABLE, "dask": address})


def test_a_wrong_address_is_no_parameter() -> None:
    from toolwear.run.config import load

    with pytest.raises(ToolwearError, match="'search_dask' is wrong"):
        load(search_dask="scheduler:8786")
    assert load(search_dask="tcp://dask:8786").search_dask == "tcp://dask:8786"
