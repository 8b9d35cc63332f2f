"""The home that is measured: a copy of the user's, or one made of simulated recordings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tests.champions import point
from tests.packages import forest
from tests.serving.stack import Place, real_package
from toolwear.common.fingerprint import ROOT
from toolwear.dataset import schema
from toolwear.features import dataset
from toolwear.features.names import LATEST_FILE
from toolwear.features.store import HOME_FOLDER, publish_online
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import GOLDEN_FILE, MODEL_FILE, Package, json_bytes, write_package
from toolwear.release import champion as pointer
from toolwear.run.config import RunParameters

_TREES = 100
_TRAINING_ROWS = 5000


def copied(home: Path, scratch: Path) -> Path:
    """Copy the champion and its online features: the bench logs payloads, a home keeps its own.

    Raises:
        ToolwearError: there is no champion, or it cannot be served.
    """
    champion, package = pointer.read_package(home)
    copy = scratch / "home"
    shutil.copytree(package.folder, copy / champion.package)
    shutil.copytree(home / HOME_FOLDER, copy / HOME_FOLDER, symlinks=True)
    point(copy, champion)
    return copy


def made(scratch: Path, tell: Callable[[str], None]) -> Path:
    """Simulate recordings and make a forest of 100 trees on their features the champion."""
    from components.features.step import features
    from components.ingest.step import ingest

    tell("no home given: simulating recordings")
    data, telemetry, folder = (scratch / name for name in ("data", "telemetry", "features"))
    subprocess.run(
        [sys.executable, "-m", "toolwear.cli", "simulate", str(data)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    defaults = RunParameters()
    ingest(data=str(data), data_digest="", allow_simulator=False, output=telemetry)
    features(
        telemetry=telemetry,
        restore_order=defaults.restore_order,
        window=defaults.window,
        stride=defaults.stride,
        output=folder,
    )
    home = scratch / "home"
    publish_online(folder, home)
    Place(home, [_package(home / "packages", folder)]).point(0)
    return home


def _package(root: Path, features: Path) -> Package:
    """Write a package like those of the tests, with a forest of the size that real ones have."""
    small = real_package(root, features, seed=0)
    samples = dataset.load(features, schema.PUBLISHED)
    random = np.random.default_rng(0)
    chosen = random.choice(len(samples.X), min(_TRAINING_ROWS, len(samples.X)), replace=False)
    graph = forest(samples.X[chosen], samples.y[chosen], trees=_TREES)
    model, rows = OnnxModel(graph), small.golden().rows
    golden = {
        "rows": rows,
        "probabilities": model.predict_proba(rows),
        "labels": model.labels(rows),
    }
    written = {"files", "format"}
    description = {key: value for key, value in small.description.items() if key not in written}
    contents = {**small.contents, MODEL_FILE: graph, GOLDEN_FILE: json_bytes(golden)}
    return write_package(root, description, contents)


def run_ids(home: Path) -> list[str]:
    """Return the runs that the online store knows."""
    path = home / HOME_FOLDER / "current" / LATEST_FILE
    return sorted(pq.read_table(path, columns=[schema.RUN_ID])[schema.RUN_ID].to_pylist())
