"""A home with real features and champions trained on them, and processes that serve it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pandas as pd

from tests.champions import point
from tests.packages import forest, parts
from tests.ports import free_port
from tests.serving.conftest import MODEL, environment, wait_ready
from toolwear.common.fingerprint import ROOT
from toolwear.dataset import schema
from toolwear.features import dataset
from toolwear.features.names import LATEST_FILE
from toolwear.features.store import HOME_FOLDER, publish_online
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import (
    GOLDEN_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    Package,
    json_bytes,
    write_package,
)
from toolwear.model.reference import reference_bytes, row_keys
from toolwear.release import champion as pointer
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

_ROWS = 1500


def real_package(root: Path, features: Path, seed: int, feature_set: str = "published") -> Package:
    """Write a package with a small forest on real rows."""
    samples = dataset.load(features, feature_set)
    chosen = np.random.default_rng(seed).choice(
        len(samples.X), min(_ROWS, len(samples.X)), replace=False
    )
    X, y = samples.X[chosen], samples.y[chosen]
    graph = forest(X, y, trees=10, seed=seed)
    model = OnnxModel(graph)
    description, files = parts(
        seed=seed,
        feature_set=feature_set,
        inputs=[{"name": name, "dtype": "float64"} for name in samples.columns],
        envelope={
            name: [low, high]
            for name, low, high in zip(
                samples.columns, samples.X.min(axis=0), samples.X.max(axis=0), strict=True
            )
        },
    )
    golden = {
        "rows": X[:8],
        "probabilities": model.predict_proba(X[:8]),
        "labels": model.labels(X[:8]),
    }
    ids = samples.frame[schema.SAMPLE_ID].to_numpy()[chosen]
    files |= {
        MODEL_FILE: graph,
        REFERENCE_FILE: reference_bytes(X[:100], y[:100], row_keys(ids)),
        GOLDEN_FILE: json_bytes(golden),
    }
    return write_package(root, description, files)


@dataclass
class Place:
    """A home and the champions that may be pointed to."""

    home: Path
    packages: list[Package]

    def champion(self, number: int) -> pointer.Champion:
        """Return what points to package `number`."""
        package = self.packages[number]
        return pointer.Champion(
            name=MODEL,
            version=str(number + 1),
            package_digest=package.digest,
            package=f"packages/{package.digest}",
            model_sha256=package.model_sha256,
            since="2026-01-01T00:00:00+00:00",
        )

    def point(self, number: int) -> pointer.Champion:
        """Make package `number` the champion, as promotion does."""
        return point(self.home, self.champion(number))


def make_place(home: Path, features: Path, *, pointed: bool = True) -> Place:
    """Publish the features and make packages; the third takes other features.

    Args:
        home: folder to make.
        features: output of the features step.
        pointed: make version 1 the champion, which no registry knows.
    """
    publish_online(features, home)
    root = home / "packages"
    packages = [real_package(root, features, seed) for seed in range(2)]
    packages.append(real_package(root, features, 2, schema.PUBLISHED_WITHOUT_POSITION))
    place = Place(home, packages)
    if pointed:
        place.point(0)
    return place


def newest_features(home: Path, package: Package, run_id: str) -> np.ndarray:
    """Return what the store has to hold of a run, (1, features)."""
    latest = pd.read_parquet(home / HOME_FOLDER / "current" / LATEST_FILE)
    row = latest.loc[latest[schema.RUN_ID] == run_id, list(package.features)]
    return row.to_numpy(dtype=np.float64)


def expected(home: Path, package: Package, run_id: str) -> float:
    """Return the probability that a package gives a run, computed beside the service."""
    return float(OnnxModel(package.model).worn(newest_features(home, package, run_id))[0])


def labeller(home: Path) -> dict[str, str]:
    """Return the header of who may label in a home."""
    return {"authorization": f"Bearer {Tokens(Home.at(home)).own(Scope.LABEL)}"}


@dataclass
class Server:
    """A server of ours in a process of its own, which can be killed and brought back."""

    module: str
    log: Path
    arguments: list[str]
    http_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def start(self, ready: bool = True) -> None:
        with self.log.open("a") as stream:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    self.module,
                    "--model_name",
                    MODEL,
                    "--http_port",
                    str(self.http_port),
                    *self.arguments,
                ],
                cwd=ROOT,
                env=environment(),
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        if ready:
            wait_ready(self.url, self.process, self.log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(40)


@dataclass
class Stack:
    """Predictor and transformer over one place."""

    place: Place
    predictor: Server
    transformer: Server
    grpc: str  # where the transformer takes it


@contextmanager
def running(place: Place, logs: Path, *transformer_options: str) -> Iterator[Stack]:
    """Start predictor and transformer, and stop them orderly."""
    grpc_port, asked = free_port(), free_port()
    predictor = Server(
        "serving.predictor",
        logs / "predictor.log",
        ["--home", str(place.home), "--grpc_port", str(grpc_port)],
    )
    transformer = Server(
        "serving.transformer",
        logs / "transformer.log",
        [
            "--home",
            str(place.home),
            "--predictor_host",
            f"127.0.0.1:{grpc_port}",
            "--grpc_port",
            str(asked),
            *transformer_options,
        ],
    )
    try:
        predictor.start(ready=False)
        transformer.start()
        yield Stack(place, predictor, transformer, f"127.0.0.1:{asked}")
        assert transformer.stop() == 0, transformer.log.read_text()
        assert predictor.stop() == 0, predictor.log.read_text()
    finally:
        for server in (predictor, transformer):
            if server.process is not None and server.process.poll() is None:
                server.kill()


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until a callable gives something true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    """Tell whether a server says that its model is ready."""
    try:
        return httpx.get(f"{url}/v2/models/{MODEL}/ready", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
