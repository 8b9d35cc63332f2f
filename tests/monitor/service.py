"""The monitor as a process of its own, and a payload log for it to read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

import httpx

from serving.payload.log import Limits, PayloadLog
from serving.payload.records import Scored
from tests.champions import point
from tests.monitor.conftest import Mill
from tests.ports import free_port
from tests.serving.conftest import environment
from tests.serving.stack import wait_for
from tools.replay.scenarios import SCENARIOS
from toolwear.common.fingerprint import ROOT
from toolwear.release import champion as pointer

PATIENCE = 240.0  # seconds; only what hangs takes that long


@dataclass
class Process:
    """A monitor at work."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.home / "monitor.log").open("a") as stream:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "serving.monitor"),
                    *("--home", str(self.home), "--http_port", str(self.port)),
                    *("--poll_seconds", "0.1"),
                ],
                cwd=ROOT,
                env=environment(),
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def state(self) -> dict:
        return httpx.get(f"{self.url}/v1/state", timeout=10).raise_for_status().json()

    def value(self, sample: str) -> float:
        lines = httpx.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{sample} "))


@contextmanager
def monitor(home: Path) -> Iterator[Process]:
    running = Process(home, free_port())
    running.start()
    try:
        wait_for(running.ready, PATIENCE)
        yield running
        assert running.process is not None
        running.process.terminate()
        assert running.process.wait(30) == 0, (home / "monitor.log").read_text()
        assert "Traceback" not in (home / "monitor.log").read_text()
    finally:
        if running.process is not None and running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def furnished(mill: Mill, home: Path, since: str = "2026-01-01T00:00:00+00:00") -> Path:
    """Make the mill's package the champion of a home, since a time in ISO 8601."""
    copytree(mill.package.folder, home / "packages" / mill.package.digest)
    point(
        home,
        pointer.Champion(
            name="toolwear",
            version="1",
            package_digest=mill.package.digest,
            package=f"packages/{mill.package.digest}",
            model_sha256=mill.package.model_sha256,
            since=since,
        ),
    )
    return home


def answers(mill: Mill, names: str, *runs: str, first: int = 0) -> list[Scored]:
    """Return the answers to runs under one scenario or, joined by a plus, under several at once."""
    found: list[Scored] = []
    for number, run in enumerate(runs):
        recording = mill.recordings[run]
        for name in names.split("+"):
            recording = SCENARIOS[name].change(recording)
        found += mill.offline.scored(recording, first + 1000 * number)
    return found


def logged(home: Path, scored: list[Scored], **limits: float) -> PayloadLog:
    log = PayloadLog(home, Limits(**limits))  # type: ignore[arg-type]
    log.start()
    for one in scored:
        log.put(one)
    assert log.flush()
    return log
