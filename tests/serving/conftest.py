"""A small real package and a predictor process that serves it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pandas as pd
import pytest

from datasets.cnc_mill import names as mill
from tests.packages import make_package
from tests.ports import free_port
from toolwear.common.fingerprint import ROOT
from toolwear.dataset import schema
from toolwear.model.package import Package

if TYPE_CHECKING:
    from tests.serving.stack import Place

MODEL = "toolwear"


@dataclass(frozen=True)
class Served:
    """A predictor that answers on loopback."""

    http_port: int
    grpc_port: int
    pid: int
    package: Package

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return make_package(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def served(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    http_port, grpc_port = free_port(), free_port()
    log = tmp_path_factory.mktemp("predictor") / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            command(package, http_port, "--grpc_port", str(grpc_port)),
            cwd=ROOT,
            env=environment(),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_ready(f"http://127.0.0.1:{http_port}", process, log)
        yield Served(http_port, grpc_port, process.pid, package)
    finally:
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def command(package: Package, http_port: int, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "serving.predictor",
        "--model_dir",
        str(package.folder),
        "--model_name",
        MODEL,
        "--http_port",
        str(http_port),
        *more,
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180  # a busy machine
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/v2/models/{MODEL}/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture
def rows(package: Package) -> np.ndarray:
    return package.golden().rows


@pytest.fixture(scope="session")
def place(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A home with the real features published and three champions; the last takes other ones."""
    from tests.serving.stack import make_place

    return make_place(tmp_path_factory.mktemp("home"), features)


@pytest.fixture(scope="session")
def raw(telemetry: Path) -> pd.DataFrame:
    """The telemetry of run 07 with what the machine was set to."""
    rows = pd.concat(
        pd.read_parquet(path, filters=[(schema.RUN_ID, "=", "07")])
        for path in sorted(telemetry.glob("part-*.parquet"))
    )
    runs = pd.read_parquet(telemetry / "runs.parquet").set_index(schema.RUN_ID)
    for column in mill.SETTING_COLUMNS:
        rows[column] = runs.loc["07", column]
    return rows
