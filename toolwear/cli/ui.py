"""MLflow's own pages on a home's runs and models, for who knows them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import httpx
from rich.console import Console

from toolwear.cli.server_process import HOST
from toolwear.common.errors import EXIT_FAILURE, ToolwearError
from toolwear.common.files import read_end, see_database
from toolwear.common.private import keep_private
from toolwear.common.processes import end_with_parent
from toolwear.workspace.home import Home
from toolwear.workspace.moved import follow

_READY_SECONDS, _STOP_SECONDS, _POLL_SECONDS, _TOLD_SECONDS = 180.0, 10.0, 0.2, 2.0
_LOG_BYTES = 64 << 10
_IN_ADDRESSES = frozenset("?#%&")


def show(root: Path, port: int, console: Console) -> None:
    """Serve MLflow's pages on loopback until Ctrl-C; nothing can be changed by them.

    Args:
        root: the system's folder.
        port: to listen on; 0 for a free one.
        console: for what the user is told.

    Raises:
        ToolwearError: there is nothing to show, or the port is taken.
        SystemExit: MLflow ended by itself.
    """
    home = Home.at(root)
    if home.tracking_uri() != home.local_registry:
        console.print(f"runs and models are in MLflow at {home.tracking_uri()}: open that")
        return
    if not home.database.exists():
        raise ToolwearError(f"There is no run in {home.root} yet; start one: toolwear run.")
    if _IN_ADDRESSES & set(str(home.root)):  # it would not be opened, or not to be read only
        raise ToolwearError(
            f"MLflow can't open {home.root} by an address; move the home to a folder without any "
            f"of {' '.join(sorted(_IN_ADDRESSES))} in its path."
        )
    keep_private(home.root)
    follow(home)
    see_database(home.database)
    number = _free(port)
    log = home.root / "serving" / f"mlflow-ui-{number}.log"
    log.parent.mkdir(exist_ok=True)
    url = f"http://{HOST}:{number}"
    stopping: list[int] = []

    def stop(sent: int, _frame: FrameType | None) -> None:
        stopping.append(sent)

    before = {sent: signal.signal(sent, stop) for sent in (signal.SIGINT, signal.SIGTERM)}
    with log.open("w") as stream:
        process = subprocess.Popen(
            _command(home, number),
            cwd=log.parent,
            env=_environment(),
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches a whole session; we end it ourselves
            preexec_fn=end_with_parent,
        )
    try:
        _await(process, url, stopping, console)
        if not stopping and process.poll() is None:
            console.print(f"MLflow shows this home's runs and models at {url}; Ctrl-C ends it")
        while not stopping and process.poll() is None:
            time.sleep(_POLL_SECONDS)
    finally:
        _end(process)
        for sent, handler in before.items():
            signal.signal(sent, handler)
    if not stopping:
        lines = read_end(log, _LOG_BYTES).strip().splitlines() or ["it logged nothing"]
        console.print(f"MLflow ended by itself: {lines[-1]}; its log is {log}", soft_wrap=True)
        sys.exit(EXIT_FAILURE)
    console.print("stopped")


def _free(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise ToolwearError(
                f"Port {port} is taken; end what uses it, or give another with --port; 0 takes a "
                "free one."
            ) from None
        return int(probe.getsockname()[1])


def _command(home: Home, port: int) -> list[str]:
    # Read only: whoever reaches the loopback could else give the champion's alias away, or make a
    # run whose artifacts are any file of ours.
    database = f"sqlite:///file:{quote(str(home.database))}?mode=ro&uri=true"
    return [
        *(sys.executable, "-m", "mlflow", "server", "--workers=1"),
        *(f"--host={HOST}", f"--port={port}", f"--backend-store-uri={database}"),
        *("--no-serve-artifacts", f"--default-artifact-root={home.mlflow_artifacts.as_uri()}"),
    ]


def _environment() -> dict[str, str]:
    programs = Path(sys.executable).parent  # MLflow calls uvicorn by its name
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes for what we do not use
    }


def _await(
    process: subprocess.Popen[bytes], url: str, stopping: list[int], console: Console
) -> None:
    started = told = time.monotonic()
    while not stopping and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=2, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        now = time.monotonic()
        if now - started > _READY_SECONDS:
            raise ToolwearError(f"MLflow did not answer at {url} in {_READY_SECONDS:.0f} s.")
        if now - told > _TOLD_SECONDS and told == started:
            console.print("MLflow starts, which takes some seconds")
            told = now
        time.sleep(_POLL_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
            process.wait(_STOP_SECONDS)
        except ProcessLookupError:  # all of them have ended
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
