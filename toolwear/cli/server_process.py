"""A server as a process of its own: started, watched, started again, and ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.console import Console

from toolwear.common.files import read_end
from toolwear.common.fingerprint import ROOT
from toolwear.common.processes import end_with_parent

HOST = "127.0.0.1"
STOP_SECONDS = 25.0  # a little more than a server gives its requests in flight
_BACKOFF_SECONDS = (1, 2, 4, 8, 16, 30)
_STEADY_SECONDS = 30.0
_LOG_BYTES = 64 << 10  # of its end, in which its last words are


@dataclass
class Server:
    """A server as a process of its own.

    Attributes:
        name: of the server.
        port: of its HTTP.
        model: name in the URL.
        log: file that takes its output.
        options: further ones.
        health: path that answers 200 once it is ready.
        title: what people call it; by default its name.
        served: it has been ready before.
    """

    name: str
    port: int
    model: str
    log: Path
    options: list[str]
    health: str
    title: str = ""
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    next_start: float = 0.0
    ready: bool = False
    served: bool = False
    since: float = field(default_factory=time.monotonic)

    @property
    def called(self) -> str:
        """What people call it."""
        return self.title or self.name

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", f"serving.{self.name}", "--model_name", self.model]
        command += ["--host", HOST, "--http_port", str(self.port), *self.options]
        with self.log.open("a") as stream:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdout=stream,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches a whole session; we tell each server ourselves, in order.
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        self.ready = False

    def answers(self) -> bool:
        """Tell whether it is ready."""
        try:
            response = httpx.get(f"{self.url}{self.health}", timeout=2, trust_env=False)
        except httpx.TransportError:
            return False
        return response.status_code == httpx.codes.OK

    def ended(self) -> int | None:
        """Return the exit code if the process has ended."""
        return self.process.poll() if self.process is not None else None

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = read_end(self.log, _LOG_BYTES).strip().splitlines()
        return lines[-1] if lines else "it logged nothing"


def watch(server: Server, console: Console) -> None:
    """Start a server again that has died, later each time, and say so."""
    now = time.monotonic()
    code = server.ended()
    if server.process is not None and code is not None:
        delay = _BACKOFF_SECONDS[min(server.failures, len(_BACKOFF_SECONDS) - 1)]
        why = f"was killed (signal {-code})" if code < 0 else f"ended with {code}"
        more = "" if code < 0 else f": {server.last_words()}"
        console.print(
            f"{server.called} {why} and is started again in {delay} s{more}",
            soft_wrap=True,
        )
        server.process, server.failures = None, server.failures + 1
        server.next_start = now + delay
    elif server.process is None and now >= server.next_start:
        server.start()
    elif server.process is not None and not server.ready and server.answers():
        server.ready, server.since = True, now
        again = " again" if server.served else ""
        server.served = True
        console.print(f"{server.called} is ready{again}")
    elif server.ready and now - server.since > _STEADY_SECONDS:
        server.failures = 0


def end(servers: list[Server]) -> None:
    """End all, those that clients ask first; kill what does not end."""
    running = [server.process for server in reversed(servers) if server.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
