"""Run Prometheus and Alertmanager beside `toolwear serve`, until Ctrl-C.

`python -m tools.watch [HOME]`: what they keep is below the home, in `watching`.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx
import yaml

from tools.alerting import floor_receiver, local, scraping
from toolwear.common import ports
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError
from toolwear.common.jsonfile import write_text
from toolwear.common.processes import end_with_parent
from toolwear.workspace.home import Home
from toolwear.workspace.servers import announced, find
from toolwear.workspace.tokens import Scope, Tokens

_HOST = "127.0.0.1"
_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.2
# By what names the programs are installed, Debian's first.
PROMETHEUS = ("prometheus",)
ALERTMANAGER = ("prometheus-alertmanager", "alertmanager")
WATCHING = "watching"  # below the home


@dataclass
class Program:
    """One of the two.

    Attributes:
        name: what people call it.
        port: where it answers.
        command: that starts it.
        log: file that takes its output.
    """

    name: str
    port: int
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{_HOST}:{self.port}"

    def start(self) -> None:
        """Start it; Ctrl-C does not reach it, we tell it ourselves."""
        with self.log.open("w") as stream:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def ready(self) -> bool:
        """Tell whether it answers."""
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def fault(self) -> str:
        """Return why it ended; empty while it is at work."""
        code = self.process.poll() if self.process is not None else None
        if code is None:
            return ""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"{self.name} ended with {code}: {lines[-1] if lines else 'it said nothing'}"

    def end(self) -> None:
        """End it; kill it should it not."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def programs(
    home: Home, port: int, prometheus: int, alertmanager: int, floor: str = ""
) -> list[Program]:
    """Write the configurations into the home and return the two programs, not started yet.

    Args:
        home: that is served.
        port: of the transformer.
        prometheus: port to answer at.
        alertmanager: port to answer at.
        floor: file that says how the floor is told of worn tools; empty: on pages only.

    Raises:
        ToolwearError: there is no such home, or a program is not installed.
    """
    if not home.root.is_dir():
        raise ToolwearError(f"There is no home {home.root}; give the folder of the runs.")
    watcher, teller = installed(PROMETHEUS), installed(ALERTMANAGER)
    tokens = Tokens(home)
    tokens.own(Scope.ALERT)  # makes the file if there is none yet
    folder = home.root / WATCHING
    folder.mkdir(exist_ok=True)
    trigger = f"http://{_HOST}:{ports.TRIGGER - ports.TRANSFORMER + port}"
    scrape, tell = folder / "prometheus.yaml", folder / "alertmanager.yaml"
    write_text(scrape, yaml.safe_dump(scraping(_HOST, port, alertmanager), sort_keys=False))
    told = floor_receiver(Path(floor)) if floor else {}
    config = local(tokens.own_file(Scope.ALERT), trigger, told)
    write_text(tell, yaml.safe_dump(config, sort_keys=False))
    return [
        Program(
            "Alertmanager",
            alertmanager,
            [
                teller,
                f"--config.file={tell}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={_HOST}:{alertmanager}",
                "--cluster.listen-address=",
            ],
            folder / "alertmanager.log",
        ),
        Program(
            "Prometheus",
            prometheus,
            [
                watcher,
                f"--config.file={scrape}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={_HOST}:{prometheus}",
            ],
            folder / "prometheus.log",
        ),
    ]


def watch(both: list[Program]) -> str:
    """Run the programs until told to stop; return why they ended by themselves, if they did.

    Raises:
        ToolwearError: a port is taken.
    """
    for program in both:
        _check_port(program)
    stopping: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopping.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        fault = ""
        for program in both:
            program.start()
            fault = fault or _await(program, stopping)
        if not fault and not stopping:
            print("Ctrl-C stops both", flush=True)
        while not fault and not stopping:
            time.sleep(_POLL_SECONDS)
            fault = next((program.fault() for program in both if program.fault()), "")
        return fault
    finally:
        for program in reversed(both):
            program.end()


def _served_port(home: Home) -> int:
    """Return the transformer's port where `toolwear serve` is at work, else the default one."""
    return httpx.URL(find(home).get("transformer", "")).port or ports.TRANSFORMER


def _await(program: Program, stopping: list[int]) -> str:
    """Wait until a program answers; return its fault if it does not."""
    deadline = time.monotonic() + _READY_SECONDS
    while not stopping and not program.ready():
        if program.fault():
            return program.fault()
        if time.monotonic() > deadline:
            return f"{program.name} does not answer; its log is {program.log}"
        time.sleep(_POLL_SECONDS)
    if not stopping:
        print(f"{program.name}: {program.url}", flush=True)
    return ""


def _check_port(program: Program) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, program.port))
        except (OSError, OverflowError):
            raise ToolwearError(
                f"Port {program.port} is taken; end what uses it (Debian starts "
                f"{program.name} as a service when it is installed: "
                f"`systemctl stop {Path(program.command[0]).name}`), or give another with "
                f"--{program.name.lower()}-port."
            ) from None


def installed(names: tuple[str, ...]) -> str:
    """Return the path of a program that has one of these names.

    Raises:
        ToolwearError: none is installed.
    """
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    raise ToolwearError(
        f"{names[0]} is not installed; on Debian `apt-get install {names[0]}` brings it."
    )


def main() -> int:
    """Run both until told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools.watch", description=__doc__)
    parser.add_argument("home", nargs="?", default="", help="of `toolwear serve`; runs by default")
    parser.add_argument(
        "--port",
        type=int,
        help=f"of `toolwear serve` (default: where it is at work, else {ports.TRANSFORMER})",
    )
    parser.add_argument("--prometheus-port", type=int, default=ports.PROMETHEUS)
    parser.add_argument("--alertmanager-port", type=int, default=ports.ALERTMANAGER)
    parser.add_argument(
        "--floor",
        default="",
        help="YAML file with email_configs and so on: who is told of worn tools",
    )
    options = parser.parse_args()
    try:
        home = Home.at(options.home)
        port = options.port or _served_port(home)
        both = programs(
            home, port, options.prometheus_port, options.alertmanager_port, options.floor
        )
        with announced(home, {program.name.lower(): program.url for program in both}):
            fault = watch(both)
    except ToolwearError as error:
        print(f"watch: {error}", file=sys.stderr)
        return EXIT_USAGE
    if fault:
        print(f"watch: {fault}", file=sys.stderr)
        return EXIT_FAILURE
    return 0


if __name__ == "__main__":
    sys.exit(main())
