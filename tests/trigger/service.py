"""The trigger as a process of its own, over a home of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.ports import free_port
from tests.serving.conftest import environment
from toolwear.common.fingerprint import ROOT
from toolwear.common.states import ENDED
from toolwear.workspace.tokens import VARIABLES, Scope

TOKEN = "a-token-for-tests-only"
OPERATOR = {"authorization": f"Bearer {TOKEN}"}
ALERT_TOKEN = "another-token-for-tests-only"
ALERTMANAGER = {"authorization": f"Bearer {ALERT_TOKEN}"}
TOKENS = {VARIABLES[Scope.OPERATE]: TOKEN, VARIABLES[Scope.ALERT]: ALERT_TOKEN}
HTTP = httpx.Client(timeout=60, trust_env=False)  # one for all: each makes a TLS context
FAKE_RUN = f"{sys.executable} {Path(__file__).with_name('fake_run.py')}"


@dataclass
class Service:
    """The trigger; `starts` are the runs that were really started."""

    home: Path
    options: tuple[str, ...] = ()
    settings: tuple[str, ...] = ("data=/",)
    run_command: str = FAKE_RUN
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.home / "trigger.log"

    def start(self) -> None:
        self.home.mkdir(exist_ok=True)
        with self.log.open("a") as stream:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "serving.trigger",
                    f"--home={self.home}",
                    f"--http_port={self.port}",
                    *([f"--run_command={self.run_command}"] if self.run_command else []),
                    *(f"--set={setting}" for setting in self.settings),
                    *self.options,
                ],
                cwd=ROOT,
                env={**bare_environment(), **TOKENS},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        wait_for(self.healthy, 60)

    def healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return HTTP.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(40)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        own = ALERTMANAGER if path == "/alerts" else OPERATOR
        return HTTP.post(self.url + path, json=body, headers={**own, **headers})

    def ask(self, **body: Any) -> str:
        answer = self.post("/retrain", body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = HTTP.get(f"{self.url}/runs").json()["runs"]
        return found

    def run(self, cause: str) -> dict[str, Any]:
        found: dict[str, Any] = HTTP.get(f"{self.url}/runs/{cause}").json()
        return found

    def ends(self, cause: str, status: str = "succeeded", seconds: float = 60) -> dict[str, Any]:
        wait_for(lambda: self.run(cause)["status"] in ENDED, seconds)
        found = self.run(cause)
        assert found["status"] == status, found
        return found

    def starts(self) -> list[dict[str, str]]:
        path = self.home / "starts"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def metric(self, name: str) -> float:
        text = HTTP.get(f"{self.url}/metrics").text
        (value,) = [line.split()[-1] for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(value)

    def hold(self) -> None:
        (self.home / "hold").touch()

    def release(self) -> None:
        (self.home / "hold").unlink()


def bare_environment() -> dict[str, str]:
    """Return an environment that says nothing of what a run is to train on."""
    return {name: value for name, value in environment().items() if name != "TOOLWEAR_DATA"}


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
