"""A machine whose programs are stand-ins, with a stub of Kubeflow Pipelines behind them."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.kubeflow.stub import Kubeflow, serving

DIGEST = "a" * 64


class Model(BaseHTTPRequestHandler):
    """Answers as the served model does; what is not routed, a gateway answers with 404."""

    explains = DIGEST

    def do_GET(self) -> None:
        self._send(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        rows = body["instances"]
        if any("X1_ActualPosition" not in row for row in rows):
            self._send(400, {"error": "lacks a column"})
        elif self.path.endswith(":explain"):
            self._send(200, {"meta": {"model": {"package_digest": self.explains}}})
        else:
            verdicts = [{"verdict": "worn"} for _ in rows]
            self._send(200, {"predictions": verdicts, "receipt": {"package_digest": DIGEST}})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


@dataclass
class Machine:
    """The stand-ins' state and calls."""

    folder: Path
    kubeflow: Kubeflow

    def tell(self, **changes: Any) -> None:
        state = json.loads((self.folder / "state.json").read_text())
        (self.folder / "state.json").write_text(json.dumps({**state, **changes}))

    def state(self, key: str) -> Any:
        return json.loads((self.folder / "state.json").read_text())[key]

    def calls(self) -> list[str]:
        """All calls but kustomize's, as lines."""
        lines = (self.folder / "calls").read_text().splitlines()
        texts = [" ".join(json.loads(line)) for line in lines]
        return [text for text in texts if not text.startswith("kubectl kustomize")]


@pytest.fixture
def model() -> type[Model]:
    return type("Bound", (Model,), {})


@pytest.fixture
def machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[Model]
) -> Iterator[Machine]:
    for name in ("kind", "docker", "kubectl", "helm"):
        program = tmp_path / name
        here = Path(__file__).with_name("fake_programs.py")
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {here} {name} "$@"\n')
        program.chmod(0o755)
    server = ThreadingHTTPServer(("127.0.0.1", 0), model)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    path = os.environ["PATH"]
    with serving() as kubeflow:
        kubeflow.plan = ["SUCCEEDED"]
        forwards = {
            "svc/ml-pipeline": kubeflow.url,
            "svc/envoy-toolwear": f"http://127.0.0.1:{server.server_address[1]}",
        }
        docker = {"NCPU": 4, "MemTotal": 12 << 30, "DockerRootDir": str(tmp_path / "elsewhere")}
        state = {
            "clusters": [],
            "secrets": [],
            "fails": [],
            "forwards": forwards,
            "path": path,
            "docker": docker,
            "decided": {"action": "promote", "why": "promote_first: it won"},
            "routes": [],
            "gateway": "envoy-toolwear",
            "cut": False,
        }
        (tmp_path / "state.json").write_text(json.dumps(state))
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{path}")
        monkeypatch.setenv("FAKE_PROGRAMS", str(tmp_path))
        monkeypatch.delenv("KUBECONFIG", raising=False)
        yield Machine(tmp_path, kubeflow)
    server.shutdown()
    server.server_close()
    thread.join()
