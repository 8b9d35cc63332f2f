"""Progress of a local run on the terminal: a line a step, with what the step tells in between."""

from __future__ import annotations

import logging
import re
import threading
import time
from pathlib import Path
from typing import Any, Self

import yaml
from rich.console import Console
from rich.text import Text

from toolwear.cli.plain import plain_console
from toolwear.common import jsonfile
from toolwear.common.states import State
from toolwear.common.steps import PROGRESS_FILE

_POLL_SECONDS = 0.2
_COLOURS = {State.SUCCEEDED: "green", State.FAILED: "red", State.CACHED: "cyan"}
_CACHE_HIT = re.compile(r"^Task (\S+) cache hit")


class ProgressLines:
    """Watches the folder in which steps record what they do; use as a context manager.

    Args:
        graph: the compiled spec, for the number of steps.
        events: the folder that `toolwear.common.steps` writes to.
        console: where the lines go.
    """

    def __init__(self, graph: Path, events: Path, console: Console) -> None:
        self._events = events
        # The steps' own output is redirected while we print.
        self._console = plain_console(
            file=console.file, force_terminal=console.is_terminal, soft_wrap=True
        )
        spec = next(yaml.safe_load_all(graph.read_text(encoding="utf-8")))
        self._total = _tasks(spec)
        self._seen: dict[str, str] = {}
        self._read = 0
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def cache_handler(self) -> logging.Handler:
        """Return a log handler that notices the steps which kfp takes from its cache."""
        outer = self

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                hit = _CACHE_HIT.match(record.getMessage())
                if hit:
                    step = hit.group(1)
                    event = {"step": step, "state": State.CACHED, "seconds": 0.0}
                    path = outer._events / f"{step}.json"
                    jsonfile.write(path, {**event, "started": time.time()})

        return Handler()

    def steps(self) -> dict[str, dict[str, Any]]:
        """Return state and seconds of every step that ran or came from the cache."""
        result: dict[str, dict[str, Any]] = {}
        for path in self._events.glob("*.json"):
            event = jsonfile.read(path)
            result[event["step"]] = {"state": event["state"], "seconds": event["seconds"]}
        return result

    def _watch(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        self._tell()
        events = [jsonfile.read(path) for path in self._events.glob("*.json")]
        for event in sorted(events, key=lambda event: event["started"]):
            if self._seen.get(event["step"]) != event["state"]:
                untimed = event["state"] in (State.RUNNING, State.CACHED)
                seconds = "" if untimed else f"{event['seconds']:.1f} s"
                self._line(event["step"], event["state"], seconds)

    def _line(self, step: str, state: str, seconds: str) -> None:
        self._seen[step] = state
        number = list(self._seen).index(step) + 1
        elapsed = time.monotonic() - self._started
        colour = _COLOURS.get(State(state), "default")
        self._console.print(
            Text.assemble(
                (f"{elapsed:6.1f} s", "dim"),
                f"  {number:2}/{self._total} {step:<12} ",
                (state, colour),
                f" {seconds}",
            )
        )

    def _tell(self) -> None:
        path = self._events / PROGRESS_FILE
        if not path.exists():
            return
        with path.open("rb") as stream:
            stream.seek(self._read)
            new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            self._console.print(f"{'':16}{line}", style="dim")


def _tasks(spec: dict[str, Any]) -> int:
    """Return how many tasks a run has here: those outside branches, and one of a branch."""
    parts = spec["components"]
    graphs = [spec["root"]["dag"]]
    graphs += [
        part["dag"]
        for name, part in parts.items()
        if "dag" in part and not name.startswith("comp-condition")
    ]
    tasks = [task for graph in graphs for task in graph["tasks"].values()]
    return sum("executorLabel" in parts[task["componentRef"]["name"]] for task in tasks) + 1
