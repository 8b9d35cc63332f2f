"""A server under measurement: its processes, the CPU time that they use, and a burst against it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.ports import free_port
from tests.serving.conftest import MODEL, environment
from tools.bench_serving.figures import Load
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT

HOST = "127.0.0.1"
READY_SECONDS = 120.0
STOP_SECONDS = 40.0
_LOAD_SECONDS = 300.0


class CannotStartError(ToolwearError):
    """A server does not come up; says why."""


@dataclass
class Server:
    """A server in a process of its own, and those that it starts.

    Attributes:
        name: of the server.
        command: that starts it.
        port: on loopback, where it answers.
        ready: path that answers 200 once it can be asked.
        log: file that takes its output.
    """

    name: str
    command: Sequence[str]
    port: int
    ready: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            CannotStartError: it ended, or was not ready in time.
        """
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.log.parent,  # some servers leave files where they are started
                env=_environment(),
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            code = self.process.poll()
            if code is not None or time.monotonic() > deadline:
                what = f"it ended with {code}" if code is not None else "it was not ready in time"
                lines = self.log.read_text(errors="replace").strip().splitlines()
                said = lines[-1] if lines else "nothing"
                raise CannotStartError(f"{self.name} did not start: {what}; it said last: {said}")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            url = f"http://{HOST}:{self.port}{self.ready}"
            return httpx.get(url, timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """End it and all that it started."""
        if self.process is None or self.process.poll() is not None:
            return
        tree = self._tree()
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for process in psutil.wait_procs(tree, timeout=5)[1]:
            process.kill()

    def cpu_seconds(self) -> float:
        """Return the CPU time that its living processes have used so far, user and system.

        The kernel tells it in steps of 10 ms, so a burst has to be of many times that.
        """
        return sum(sum(process.cpu_times()[:2]) for process in self._tree())

    def _tree(self) -> list[psutil.Process]:
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def burst(self, path: str, bodies: Sequence[str], clients: int, requests: int) -> Load:
        """Let the load generator ask it, and return what that took.

        Raises:
            ToolwearError: a request failed.
        """
        order = {
            "host": HOST,
            "port": self.port,
            "path": path,
            "bodies": list(bodies),
            "clients": clients,
            "requests": requests,
        }
        before = self.cpu_seconds()
        done = subprocess.run(
            [sys.executable, "-m", "tools.bench_serving.load"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=_LOAD_SECONDS,
        )
        cpu = self.cpu_seconds() - before
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:]
            raise ToolwearError(f"The load on {self.name} failed: {' '.join(last)}")
        found = json.loads(done.stdout)
        return Load(found["latencies_ms"], found["seconds"], cpu)


def ours(name: str, log: Path, *options: str) -> Server:
    """Return a server of ours by the name of its package in `serving`."""
    port = free_port()
    command = [sys.executable, "-m", f"serving.{name}", "--model_name", MODEL]
    command += ["--http_port", str(port), *options]
    return Server(name, command, port, f"/v2/models/{MODEL}/ready", log)


def _environment() -> dict[str, str]:
    """Return what every server gets, the same for all that are compared."""
    variables = environment() | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables.get('PATH', '')}"
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables
