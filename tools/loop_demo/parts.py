"""The parts of the loop as processes: a first champion, its servers, Prometheus, Alertmanager."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.ports import free_port, free_ports
from tools.watch import ALERTMANAGER, PROMETHEUS, WATCHING, Program, installed, programs
from toolwear.common import ports
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.common.processes import end_with_parent
from toolwear.workspace.home import Home

# Everything real, and as small as it goes; by evaluations, so that it is repeatable.
BUDGETS: Mapping[str, Any] = {
    "permutations": 5,
    "search_evaluations": 2,
    "explain_rows": 2,
    "outer_folds": 1,
}
SCRAPE_SECONDS = 2
_HOST = "127.0.0.1"
_PORTS = tuple(range(9))  # that `toolwear serve` takes from the first one on
_READY_SECONDS = 300.0
_END_SECONDS = 60.0
_TELL_SECONDS = 10.0
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Parts:
    """Where the parts of a running loop answer.

    Attributes:
        home: the system's folder.
        port: of the transformer; the others follow it.
        prometheus_port: of Prometheus.
        alertmanager_port: of Alertmanager.
        fault: returns why a part has ended, empty while all are at work.
    """

    home: Home
    port: int
    prometheus_port: int
    alertmanager_port: int
    fault: Callable[[], str] = str

    @property
    def prometheus(self) -> str:
        """Where Prometheus answers."""
        return f"http://{_HOST}:{self.prometheus_port}"

    @property
    def alertmanager(self) -> str:
        """Where Alertmanager answers."""
        return f"http://{_HOST}:{self.alertmanager_port}"

    def of(self, name: str) -> str:
        """Return the URL of a server."""
        shift = getattr(ports, name.upper()) - ports.TRANSFORMER
        return f"http://{_HOST}:{self.port + shift}"

    def addresses(self) -> dict[str, str]:
        """Return all URLs by name."""
        names = ("transformer", "explainer", "monitor", "trigger", "console", "front")
        beside = {"prometheus": self.prometheus, "alertmanager": self.alertmanager}
        return {**{name: self.of(name) for name in names}, **beside}


def check_programs() -> None:
    """Raise a ToolwearError that names a program which is not installed."""
    for names in (PROMETHEUS, ALERTMANAGER):
        installed(names)


def train(home: Path, recordings: Path, log: Path, settings: Sequence[str], tell: Tell) -> None:
    """Have a person's run train the first champion, telling how it gets on."""
    options = [f"--set={setting}" for setting in settings]
    command = [*_toolwear("run", "--fast"), f"--data={recordings}", f"--home={home}", *options]
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, cwd=ROOT, env=_environment(), stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        _until_ended(process, log, tell)
    finally:
        _end(process)
    if process.returncode != 0:
        raise ToolwearError(f"The first champion could not be trained: {_last(log)}; see {log}.")


def _until_ended(process: subprocess.Popen[bytes], log: Path, tell: Tell) -> None:
    told = time.monotonic()
    while process.poll() is None:
        time.sleep(0.5)
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            tell(f"training the first champion: {_last(log)}")


def command(home: Path, *words: str) -> str:
    """Run a command of `toolwear` over the home; return what it said."""
    done = subprocess.run(
        [*_toolwear(*words), f"--home={home}"],
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ToolwearError(f"toolwear {words[0]} failed: {done.stderr.strip() or done.stdout}")
    return done.stdout.strip()


@contextmanager
def running(
    home: Path, recordings: Path, folder: Path, settings: Sequence[str], tell: Tell
) -> Iterator[Parts]:
    """Start all parts over a home with a champion, and end them.

    Args:
        home: the system's folder.
        recordings: that the trigger's runs train on.
        folder: for configurations and logs.
        settings: of the trigger's runs, KEY=VALUE.
        tell: is told the progress.
    """
    parts = Parts(Home.at(home), free_ports(_PORTS), free_port(), free_port())
    watchers = programs(parts.home, parts.port, parts.prometheus_port, parts.alertmanager_port)
    targets = _quicken(home / WATCHING)
    options = [f"--set={setting}" for setting in settings]
    line = _toolwear("serve", f"--home={home}", f"--port={parts.port}", f"--data={recordings}")
    log = folder / "serve.log"
    with log.open("w") as stream:
        serve = subprocess.Popen(
            [*line, *options],
            cwd=ROOT,
            env={**_environment(), "PROMETHEUS_URL": parts.prometheus},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: we end all in order
            preexec_fn=end_with_parent,
        )
    try:
        for program in watchers:
            program.start()
        parts = replace(parts, fault=lambda: ended(serve, log, watchers))
        _await(parts, targets, tell)
        yield parts
    finally:
        for program in watchers:
            program.end()
        _end(serve)


def _quicken(folder: Path) -> int:
    """Shorten the waits in the two configurations; return how many servers are to be scraped."""
    path = folder / "prometheus.yaml"
    scraping = yaml.safe_load(path.read_text(encoding="utf-8"))
    often = f"{SCRAPE_SECONDS}s"
    scraping["global"] = {"scrape_interval": often, "evaluation_interval": often}
    path.write_text(yaml.safe_dump(scraping, sort_keys=False), encoding="utf-8")
    path = folder / "alertmanager.yaml"
    telling = yaml.safe_load(path.read_text(encoding="utf-8"))
    telling["route"] |= {"group_wait": "1s", "group_interval": "5s", "repeat_interval": "1m"}
    path.write_text(yaml.safe_dump(telling, sort_keys=False), encoding="utf-8")
    return sum(len(item["targets"]) for item in scraping["scrape_configs"][0]["static_configs"])


def ended(serve: subprocess.Popen[bytes], log: Path, watchers: Sequence[Program]) -> str:
    """Return why a part has ended, empty while all are at work."""
    if serve.poll() is not None:
        return f"toolwear serve ended with {serve.returncode}: {_last(log)}"
    return next((program.fault() for program in watchers if program.fault()), "")


def _await(parts: Parts, targets: int, tell: Tell) -> None:
    """Wait until every server is scraped and Alertmanager is ready."""
    deadline, told = time.monotonic() + _READY_SECONDS, time.monotonic()
    while True:
        if fault := parts.fault():
            raise ToolwearError(f"A part did not start: {fault}")
        up = _up(parts.prometheus)
        if up == targets and _is_ready(f"{parts.alertmanager}/-/ready"):
            return
        if time.monotonic() > deadline:
            raise ToolwearError(f"Only {up} of {targets} servers can be scraped.")
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            tell(f"starting: {up} of {targets} servers are scraped")
        time.sleep(0.5)


def _up(prometheus: str) -> int:
    try:
        answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": "sum(up)"}, timeout=5)
        found = answer.raise_for_status().json()["data"]["result"]
    except httpx.HTTPError:
        return 0
    return int(found[0]["value"][1]) if found else 0


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _toolwear(*words: str) -> list[str]:
    return [sys.executable, "-m", "toolwear.cli", *words]


def _environment() -> dict[str, str]:
    """Return ours without what would change where a run takes its data or its home from."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TOOLWEAR_")}
    return {**ours, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it has said nothing yet"
