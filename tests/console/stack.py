"""`toolwear serve` over a home, with its console, and a Prometheus that watches the servers."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import yaml

from tests.ports import free_ports
from tests.programs import program
from tests.serving.conftest import environment
from toolwear.common import ports
from toolwear.common.fingerprint import ROOT

_SERVED = ("predictor", "transformer", "explainer", "trigger", "monitor", "console", "front")
_OFFSETS = tuple(getattr(ports, name.upper()) - ports.TRANSFORMER for name in _SERVED)
_READY_SECONDS = 180


@dataclass
class Stack:
    """The processes at work.

    Attributes:
        home: the system's folder.
        port: of the transformer.
        server: `toolwear serve`.
        reserved: bound to Prometheus' port until it is started, so that nobody else takes it.
        folder: for what the processes write.
        prometheus_url: where Prometheus answers, once it is started.
    """

    home: Path
    port: int
    server: subprocess.Popen[bytes]
    reserved: socket.socket
    folder: Path
    prometheus: subprocess.Popen[bytes] | None = None
    prometheus_url: str = ""

    @property
    def url(self) -> str:
        """Where the console answers."""
        return self.of("console")

    def of(self, name: str) -> str:
        """Return where a server answers."""
        shift = getattr(ports, name.upper()) - ports.TRANSFORMER
        return f"http://127.0.0.1:{self.port + shift}"

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Let a server hang, as its host would; it goes on afterwards."""
        process = self.process(name)
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    def kill(self, name: str) -> None:
        """Kill a server; `toolwear serve` starts it again."""
        process = self.process(name)
        process.kill()
        _wait(lambda: not _is_taken(int(self.of(name).rpartition(":")[2])), 20)

    def wait_ready(self, name: str) -> None:
        """Wait until a model server is ready."""
        url = f"{self.of(name)}/v2/models/toolwear/ready"
        _wait(lambda: _status(url) == httpx.codes.OK, 90)

    def answers(self, url: str) -> bool:
        """Tell whether an address answers with 200."""
        return _status(url) == httpx.codes.OK

    def resident(self, name: str) -> int:
        """Return how many bytes of memory a server holds."""
        return int(self.process(name).memory_info().rss)

    def process(self, name: str) -> psutil.Process:
        """Return the process of a server."""
        return next(
            child
            for child in psutil.Process(self.server.pid).children()
            if f"serving.{name}" in child.cmdline()
        )

    def start_prometheus(self) -> None:
        """Start Prometheus with the project's rules, scraping fast."""
        port = self.reserved.getsockname()[1]
        config = yaml.safe_load((ROOT / "manifests/monitoring/prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(ROOT / "manifests/monitoring/rules/*.yaml")]
        for target in config["scrape_configs"][0]["static_configs"]:
            target["targets"] = [self.of(target["labels"]["server"]).removeprefix("http://")]
        path = self.folder / "prometheus.yaml"
        path.write_text(yaml.safe_dump(config))
        self.reserved.close()
        with (self.folder / "prometheus.log").open("w") as log:
            self.prometheus = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={path}",
                    f"--storage.tsdb.path={self.folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.prometheus_url = f"http://127.0.0.1:{port}"
        url = f"{self.prometheus_url}/api/v1/query"
        targets = len(config["scrape_configs"][0]["static_configs"])
        _wait(lambda: _up(url) == targets, 60, self.folder / "prometheus.log")

    def traffic(self, requests: int) -> None:
        """Ask about every recorded run in turn."""
        with httpx.Client() as client:
            for number in range(requests):
                client.post(
                    f"{self.of('transformer')}/v1/models/toolwear:predict",
                    json={"instances": [{"run_id": f"{1 + number % 18:02d}"}]},
                ).raise_for_status()


@contextmanager
def running(home: Path, folder: Path) -> Iterator[Stack]:
    """Start `toolwear serve` and end it and what was started beside it."""
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    port, prometheus_port = free_ports((*_OFFSETS, 2, 8)), reserved.getsockname()[1]
    output = folder / "serve.log"
    with output.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "toolwear.cli", "serve", f"--home={home}", f"--port={port}"],
            cwd=ROOT,
            env={**environment(), "PROMETHEUS_URL": f"http://127.0.0.1:{prometheus_port}"},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    stack = Stack(home, port, server, reserved, folder)
    try:
        _wait(
            lambda: server.poll() is not None or "Ctrl-C stops all" in output.read_text(),
            _READY_SECONDS,
        )
        assert server.poll() is None, output.read_text()
        yield stack
    finally:
        reserved.close()
        for process in (stack.prometheus, server):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _status(url: str) -> int:
    try:
        return httpx.get(url, timeout=2).status_code
    except httpx.TransportError:
        return 0


def _up(url: str) -> int:
    """Return how many targets Prometheus has had an answer of."""
    try:
        found = httpx.get(url, params={"query": "sum(up)"}).json()["data"]["result"]
    except (httpx.TransportError, ValueError, KeyError):
        return 0
    return int(found[0]["value"][1]) if found else 0


def _wait(done: Callable[[], bool], seconds: float, log: Path | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        said = f":\n{log.read_text()}" if log is not None else ""
        assert time.monotonic() < deadline, f"not ready in {seconds} s{said}"
        time.sleep(0.2)
