"""Serves the champion on this machine: processes on loopback, watched until told to stop."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.text import Text

from toolwear.cli.approvals import print_disagreement, print_log_fault
from toolwear.cli.candidate_servers import CandidateServers
from toolwear.cli.server_process import HOST, Server, end, watch
from toolwear.common import ports
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError
from toolwear.common.private import keep_private
from toolwear.common.tables import read_table
from toolwear.dataset import schema
from toolwear.features.names import LATEST_FILE
from toolwear.release import champion as pointer
from toolwear.workspace.home import Home
from toolwear.workspace.servers import announced
from toolwear.workspace.tokens import Scope, Tokens

MODEL_SERVERS = ("predictor", "transformer", "explainer")
CONSOLE, TRIGGER, MONITOR, FRONT = "console", "trigger", "monitor", "front"
READY_SECONDS = 180.0  # imports and the explainer's warm-up, on a busy machine
_POLL_SECONDS = 0.2


def serve(
    home: Path, port: int, settings: Mapping[str, Any], trigger: bool, console: Console
) -> None:
    """Start the model servers, trigger and console; watch them, and end them when told to stop.

    Args:
        home: the system's folder.
        port: of the transformer; the others have the ports behind it.
        settings: of the runs that the trigger starts; the others are as in the last `toolwear run`.
        trigger: whether to start one.
        console: for what the user is told.

    Raises:
        ToolwearError: there is no champion, or a port is taken.
        SystemExit: a server did not become ready.
    """
    home = home.resolve()
    keep_private(home)
    champion, package = pointer.read_package(home)
    candidate = CandidateServers.at_free_ports(home, champion.name, console)
    tokens = Tokens(Home.at(home))
    for may in Scope:
        tokens.own(may)
    servers = _servers(home, port, champion.name, settings, trigger, candidate)
    _check_ports([*(server.port for server in servers), *_grpc_ports(port)])
    stopping: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopping.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    console.print(
        f"champion: {champion.name} version {champion.version}, package {package.version}, "
        f"for {package.description['use']}",
    )
    try:
        with announced(Home.at(home), {server.name: server.url for server in servers}):
            for server in servers:
                server.log.unlink(missing_ok=True)
                server.start()
            _await_all(servers, stopping, console)
            if not stopping:
                _tell(servers, home, champion.name, console)
                print_disagreement(Home.at(home), console)
                print_log_fault(Home.at(home), console)
            while not stopping:
                time.sleep(_POLL_SECONDS)
                for server in servers:
                    watch(server, console)
                candidate.follow()
    finally:
        end([*servers, *candidate.servers])
        for number, handler in before.items():
            signal.signal(number, handler)
    console.print("stopped")


def _grpc_ports(port: int) -> tuple[int, int]:
    """Return the gRPC ports of predictor and transformer."""
    shift = port - ports.TRANSFORMER
    return ports.PREDICTOR_GRPC + shift, ports.TRANSFORMER_GRPC + shift


def _servers(
    home: Path,
    port: int,
    model: str,
    settings: Mapping[str, Any],
    trigger: bool,
    candidate: CandidateServers,
) -> list[Server]:
    logs = home / "serving"
    logs.mkdir(parents=True, exist_ok=True)
    shift = port - ports.TRANSFORMER
    behind, asked = _grpc_ports(port)
    at_home = ["--home", str(home)]
    to_predictor = ["--predictor_host", f"{HOST}:{behind}"]
    options = {
        "predictor": (ports.PREDICTOR, [*at_home, "--grpc_port", str(behind)]),
        "transformer": (
            ports.TRANSFORMER,
            [*at_home, *to_predictor, "--grpc_port", str(asked)],
        ),
        "explainer": (ports.EXPLAINER, at_home),
    }
    urls = [f"--{name}_url=http://{HOST}:{own + shift}" for name, (own, _) in options.items()]
    loop = ((TRIGGER, ports.TRIGGER), (MONITOR, ports.MONITOR), (FRONT, ports.FRONT))
    beside = [f"--{name}_url=http://{HOST}:{own + shift}" for name, own in loop]
    if trigger:
        options[TRIGGER] = (ports.TRIGGER, [*at_home, *_of_runs(settings)])
    options[CONSOLE] = (ports.CONSOLE, [*at_home, *urls, *beside])
    options[MONITOR] = (ports.MONITOR, at_home)
    divided = [url for url in urls if not url.startswith("--predictor")]
    options[FRONT] = (ports.FRONT, [*at_home, *divided, *candidate.addresses])
    servers = []
    for name, (own, more) in options.items():
        log = logs / f"{name}-{own + shift}.log"
        health = f"/v2/models/{model}/ready" if name in MODEL_SERVERS else "/healthz"
        servers.append(Server(name, own + shift, model, log, more, health))
    return servers


def _of_runs(settings: Mapping[str, Any]) -> list[str]:
    values = dict(settings)
    if values.get("data"):
        values["data"] = str(Path(values["data"]).resolve())  # a run has another working folder
    return [f"--set={key}={value}" for key, value in values.items()]


def _check_ports(numbers: list[int]) -> None:
    for number in sorted(numbers):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, number))
            except (OSError, OverflowError):
                raise ToolwearError(
                    f"Port {number} is taken; end what uses it, or give another with --port."
                ) from None


def _await_all(servers: list[Server], stopping: list[int], console: Console) -> None:
    """Wait until each server is ready, telling the progress."""
    started = time.monotonic()
    waiting = list(servers)
    while waiting and not stopping:
        time.sleep(_POLL_SECONDS)
        seconds = time.monotonic() - started
        for server in list(waiting):
            code = server.ended()
            if code is not None or seconds > READY_SECONDS:
                what = f"ended with {code}" if code is not None else f"not ready in {seconds:.0f} s"
                console.print(
                    f"{server.name}: {what}: {server.last_words()}",
                    soft_wrap=True,
                )
                sys.exit(EXIT_USAGE if code == EXIT_USAGE else EXIT_FAILURE)
            if server.answers():
                server.ready = server.served = True
                server.since = time.monotonic()
                waiting.remove(server)
                console.print(
                    Text.assemble(
                        (f"{seconds:6.1f} s", "dim"), f"  {server.name:<12} ready at {server.url}"
                    )
                )


def _tell(servers: list[Server], home: Path, model: str, console: Console) -> None:
    urls = {server.name: server.url for server in servers}
    key = {"run_id": _a_run(home)}
    bodies = {
        f"{urls['transformer']}/v1/models/{model}:predict": {"instances": [key]},
        f"{urls['explainer']}/v1/models/{model}:explain": {"instances": [key], "method": "shap"},
    }
    console.print("\nask for a run's newest features, and why the model says what it says:")
    for url, body in bodies.items():
        console.print(
            f"  curl -s {url} -H 'content-type: application/json' -d '{json.dumps(body)}'",
            soft_wrap=True,
        )
    console.print(f"\nopen {urls[CONSOLE]} in a browser")
    console.print(f"what has drifted: {urls[MONITOR]}/reports/")
    console.print(
        f"tokens, for labels and for the operator: {Home.at(home).secrets}", soft_wrap=True
    )
    console.print(
        f"logs: {home / 'serving'}, metrics: /metrics of each; Ctrl-C stops all",
        soft_wrap=True,
    )


def _a_run(home: Path) -> str:
    path = home / "feast" / "current" / LATEST_FILE
    if not path.exists():
        return schema.run_id(1)
    return str(min(read_table(path, columns=[schema.RUN_ID])[schema.RUN_ID].to_pylist()))
