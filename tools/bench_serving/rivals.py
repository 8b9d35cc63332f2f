"""The servers that are compared: each answers the same rows by the same ONNX graph.

Each is one process with one thread for the graph, started with its own defaults otherwise.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.ports import free_port
from tests.serving.conftest import MODEL
from tools.bench_serving.plain import PATH as PLAIN_PATH
from tools.bench_serving.server import HOST, CannotStartError, Server
from toolwear.common.fingerprint import ROOT
from toolwear.model.onnx_model import INPUT, PROBABILITY_OUTPUT
from toolwear.model.package import MODEL_FILE, Package

PREDICTOR, PLAIN, MLSERVER, MLFLOW = "predictor", "plain", "mlserver", "mlflow"
MLSERVER_PROGRAM = ROOT / ".venv-bench" / "bin" / "mlserver"


@dataclass(frozen=True)
class Rival:
    """How one server is asked.

    Attributes:
        server: its process.
        path: that takes rows.
        body: makes a request of rows, float64 (rows, features).
        probabilities: takes them from the parsed answer, as (rows, classes) or flat.
    """

    server: Server
    path: str
    body: Callable[[np.ndarray], str]
    probabilities: Callable[[Any], Any]

    @property
    def name(self) -> str:
        """Name of the server."""
        return self.server.name


def instances(rows: np.ndarray) -> str:
    """Return the rows as a V1 request."""
    return json.dumps({"instances": rows.tolist()})


def tensor(rows: np.ndarray) -> str:
    """Return the rows as a V2 request."""
    described = {"name": INPUT, "datatype": "FP64", "shape": list(rows.shape)}
    return json.dumps({"inputs": [{**described, "data": rows.ravel().tolist()}]})


def predictor(server: Server) -> Rival:
    """Ours, by V1."""
    return Rival(
        server,
        f"/v1/models/{MODEL}:predict",
        instances,
        lambda answer: [row[PROBABILITY_OUTPUT] for row in answer["predictions"]],
    )


def plain(package: Package, scratch: Path) -> Rival:
    """A FastAPI endpoint without anything around it."""
    port = free_port()
    model = str(package.folder.resolve() / MODEL_FILE)
    command = [sys.executable, "-m", "tools.bench_serving.plain", model, str(port)]
    server = Server(PLAIN, command, port, "/ready", scratch / "plain.log")
    return Rival(server, PLAIN_PATH, instances, lambda answer: answer["probabilities"])


def mlserver(package: Package, scratch: Path) -> Rival:
    """MLServer with a runtime of ours, for it has none for ONNX.

    Raises:
        CannotStartError: its environment is not there.
    """
    if not MLSERVER_PROGRAM.exists():
        raise CannotStartError(".venv-bench is missing; make bench-serving builds it")
    folder = scratch / MLSERVER
    folder.mkdir()
    shutil.copyfile(package.folder / MODEL_FILE, folder / MODEL_FILE)
    port = free_port()
    settings = {
        "host": HOST,
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,  # infers in the server's own process
        "debug": False,
    }
    model = {
        "name": MODEL,
        "implementation": "tools.bench_serving.mlserver_runtime.OnnxRuntime",
        "parameters": {"uri": str(folder / MODEL_FILE)},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    command = [str(MLSERVER_PROGRAM), "start", str(folder)]
    server = Server(MLSERVER, command, port, f"/v2/models/{MODEL}/ready", folder / "log")
    return Rival(
        server, f"/v2/models/{MODEL}/infer", tensor, lambda answer: answer["outputs"][0]["data"]
    )


def mlflow(package: Package, scratch: Path) -> Rival:
    """`mlflow models serve` with the graph saved as an MLflow model."""
    import mlflow.onnx
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # It warns that this environment has no pip, which serving in it does not need.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    folder = scratch / MLFLOW
    folder.mkdir()
    columns = TensorSpec(np.dtype(np.float64), (-1, len(package.features)))
    mlflow.onnx.save_model(
        onnx.load(str(package.folder / MODEL_FILE)),
        folder / "model",
        signature=ModelSignature(Schema([columns])),
        onnx_execution_providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
        pip_requirements=["onnxruntime"],  # else it is found out by loading the model
    )
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--model-uri", str(folder / "model")]
    server = Server(MLFLOW, command, port, "/ping", folder / "log")
    return Rival(
        server,
        "/invocations",
        instances,
        lambda answer: answer["predictions"][PROBABILITY_OUTPUT],
    )
