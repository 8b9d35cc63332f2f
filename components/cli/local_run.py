"""A run of the compiled graph on this machine: kfp.local's subprocess runner, SQLite, no server."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from rich.console import Console

from components.cli import containers, summary
from components.cli.containers import Runner
from components.cli.graph import compile_training
from components.cli.progress import ProgressLines
from components.cli.provenance import commit
from components.core import jsonfile
from components.core.config import RunParameters
from components.core.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError
from components.core.fingerprint import ROOT
from components.core.run_name import is_run_name, new_run_name
from components.core.steps import EVENTS_FOLDER
from components.ingest.sources import source_digest

HOME_VARIABLE = "TOOLWEAR_HOME"
AUTOML_PYTHON = "AUTOML_PYTHON"
_LOCAL_AUTOML = ROOT / ".venv-automl" / "bin" / "python"
# What one kind of runner has made says nothing of the other.
_CACHE_FOLDERS = {Runner.SUBPROCESS: ".cache", Runner.DOCKER: ".cache-docker"}


def run_locally(
    parameters: RunParameters,
    home: Path,
    console: Console,
    *,
    refresh: bool = False,
    name: str | None = None,
    runner: Runner = Runner.SUBPROCESS,
) -> None:
    """Compile the graph, run it here and leave `summary.json` and `report.html` in a new folder.

    Args:
        parameters: of the run.
        home: the system's folder.
        console: for what the user is told.
        refresh: do every step anew instead of using the cache.
        name: of the run and its folder; None for a new one.
        runner: what a step runs as: a process, or a container of its image.

    Raises:
        ToolwearError: data, machine or an image are not fit for a run, or the name is taken.
        SystemExit: a step failed; the code is 2 if the user can mend it, else 1.
    """
    started = time.time()
    home = _prepared_home(home)
    data = str(Path(parameters.data).resolve()) if parameters.data else ""
    digest = source_digest(Path(data)) if data else ""
    run_folder = _new_folder(home, name)
    events = run_folder / "events"
    events.mkdir()
    graph = run_folder / "pipeline.yaml"
    graph_digest = compile_training(graph)
    if runner is Runner.DOCKER:
        containers.require(graph)
    arguments = {
        **parameters.model_dump(),
        "data": data,
        "data_digest": digest,
        "commit": commit(),
        "graph_digest": graph_digest,
    }
    jsonfile.write(run_folder / "arguments.json", arguments)
    if refresh:
        shutil.rmtree(home / _CACHE_FOLDERS[runner], ignore_errors=True)
    _set_environment(home, events)
    console.print(f"run {run_folder.name}: graph {graph_digest[:12]}, seed {parameters.seed}")
    lines = ProgressLines(graph, events, console)
    with _log_to(run_folder / "log.txt", lines), lines, _children_end_with_us():
        failed = _run_graph(graph, arguments, run_folder, home, runner)
    if failed is not None:
        _end_failed(run_folder, events, failed, console)
    summary.finish(run_folder, home, lines.steps(), time.time() - started)
    summary.print_run(run_folder, console)


def _new_folder(home: Path, name: str | None) -> Path:
    if name is not None and not is_run_name(name):
        raise ToolwearError(f"'{name}' is no name of a run; write one like {new_run_name()}.")
    folder = home / (name or new_run_name())
    try:
        folder.mkdir()
    except FileExistsError:
        raise ToolwearError(
            f"There is a run {folder.name} already; give another name with --name."
        ) from None
    return folder


def _prepared_home(home: Path) -> Path:
    home = home.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".probe-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ToolwearError(
            f"{home} can't be written ({error.strerror}); give another folder with --home."
        ) from None
    return home


def _set_environment(home: Path, events: Path) -> None:
    # The subprocess runner hands our environment on to every step.
    os.environ[HOME_VARIABLE] = str(home)
    os.environ[EVENTS_FOLDER] = str(events)
    os.environ["PYTHONPATH"] = str(ROOT)
    # Every step is a process that imports much; without bytecode it would parse all of it anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    if AUTOML_PYTHON not in os.environ and _LOCAL_AUTOML.exists():
        os.environ[AUTOML_PYTHON] = str(_LOCAL_AUTOML)


def _run_graph(
    graph: Path, arguments: dict[str, Any], run_folder: Path, home: Path, runner: Runner
) -> RuntimeError | None:
    """Run the compiled graph; return kfp's error if a step failed."""
    from kfp import components as kfp_components
    from kfp import local

    with contextlib.ExitStack() as stack:
        chosen: Any = local.SubprocessRunner(use_venv=False)
        if runner is Runner.DOCKER:
            place = containers.Place(home, run_folder / "events", arguments["data"])
            chosen = stack.enter_context(containers.docker_runner(place))
        local.init(
            chosen,
            pipeline_root=str(run_folder / "artifacts"),
            enable_caching=True,
            cache_root=str(home / _CACHE_FOLDERS[runner]),
        )
        pipeline = kfp_components.load_component_from_file(str(graph))
        known = set(pipeline.component_spec.inputs or {})
        try:
            pipeline(**{name: value for name, value in arguments.items() if name in known})
        except RuntimeError as error:
            return error
    return None


def _end_failed(run_folder: Path, events: Path, error: RuntimeError, console: Console) -> None:
    states = [jsonfile.read(path) for path in sorted(events.glob("*.json"))]
    failed = [state for state in states if state["state"] == "failed"]
    if not failed:  # a step died without a word: out of memory, or killed
        failed = [state for state in states if state["state"] == "running"]
    page = summary.write_failure(run_folder, failed, str(error))
    for state in failed:
        reason = state.get("reason", "the process ended without saying why (killed?)")
        console.print(f"[red]failed[/red] {state['step']}: {reason}", highlight=False)
    console.print(f"what happened and what to do: {page}")
    mendable = bool(failed) and all(state.get("user_error") for state in failed)
    sys.exit(EXIT_USAGE if mendable else EXIT_FAILURE)


@contextlib.contextmanager
def _log_to(path: Path, lines: ProgressLines) -> Iterator[None]:
    """Send what kfp and the steps print to a file; the terminal gets the progress lines."""
    root = logging.getLogger()
    level = root.level
    handler = lines.cache_handler()
    with path.open("w", encoding="utf-8", buffering=1) as stream:
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            with contextlib.redirect_stdout(stream), warnings.catch_warnings():
                # Cluster settings (resources, names) mean nothing to the local runner.
                warnings.filterwarnings("ignore", message=".*no effect in the current local.*")
                warnings.filterwarnings("ignore", category=RuntimeWarning, module="kfp")
                warnings.filterwarnings("ignore", category=FutureWarning, module="kfp")
                yield
        finally:
            root.removeHandler(handler)
            root.setLevel(level)


@contextlib.contextmanager
def _children_end_with_us() -> Iterator[None]:
    """On SIGTERM end the step's processes too: none may go on registering a model unwatched."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.terminate()
        sys.exit(128 + number)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
