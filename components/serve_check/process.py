"""Runs the predictor as a process of its own on a free loopback port, and always ends it."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from toolwear.common.fingerprint import ROOT

READY_SECONDS = 90.0  # imports take 3 s on an idle machine, and this one may be busy
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.1
_LOG_LINES = 30


class NotServingError(Exception):
    """The predictor did not become ready; the message ends with its log."""


@dataclass(frozen=True)
class Running:
    """A predictor that is ready."""

    client: httpx.Client
    started_after: float  # seconds


@contextmanager
def predictor(
    package: Path, digest: str, model_name: str, seconds: float = READY_SECONDS
) -> Iterator[Running]:
    """Start the predictor on `package`, wait until it is ready, and kill it afterwards.

    Raises:
        NotServingError: it ended, or was not ready in time.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request otherwise
    port = _free_port()
    command = [sys.executable, "-m", "serving.predictor", "--model_dir", str(package)]
    command += ["--model_sha256", digest, "--model_name", model_name, "--http_port", str(port)]
    with tempfile.TemporaryFile("w+") as log:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        try:
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
                while not _is_ready(client, model_name):
                    waited = time.monotonic() - started
                    if process.poll() is not None:
                        raise NotServingError(f"It ended with {process.returncode}: {_tail(log)}")
                    if waited > seconds:
                        raise NotServingError(f"Not ready after {waited:.0f} s: {_tail(log)}")
                    time.sleep(_POLL_SECONDS)
                yield Running(client, round(time.monotonic() - started, 2))
        finally:
            _end(process)


def _is_ready(client: httpx.Client, model_name: str) -> bool:
    try:
        return client.get(f"/v2/models/{model_name}/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(log: object) -> str:
    log.seek(0)  # type: ignore[attr-defined]
    lines = log.read().splitlines()  # type: ignore[attr-defined]
    return "\n".join(lines[-_LOG_LINES:]).strip() or "it logged nothing"
