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
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from rich.console import Console
from rich.text import Text

from components.finish.step import VALIDATE
from toolwear.cli import containers, summary
from toolwear.cli.containers import Runner
from toolwear.cli.graph import compile_training
from toolwear.cli.plain import plain_console
from toolwear.cli.progress import ProgressLines
from toolwear.cli.provenance import commit
from toolwear.cli.tracked import check_registry, tracked
from toolwear.common import jsonfile
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.common.private import keep_private
from toolwear.common.states import State
from toolwear.common.steps import EVENTS_FOLDER
from toolwear.dataset import contract
from toolwear.dataset.sources import source_digest
from toolwear.release.audit_log import begin
from toolwear.release.decisions import Outcome
from toolwear.release.tracking import RUN_VARIABLE
from toolwear.run import run_folder
from toolwear.run.config import RunParameters
from toolwear.run.run_name import is_run_name, new_run_name
from toolwear.workspace.home import HOME_VARIABLE, Home
from toolwear.workspace.moved import follow

AUTOML_PYTHON = "AUTOML_PYTHON"
_LOCAL_AUTOML = ROOT / ".venv-automl" / "bin" / "python"
_INGEST = "ingest"
_READ_BY = {"data", "data_digest", "dataset", "allow_simulator"}
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
    home = _prepared_home(home)
    keep_private(home)
    moved = follow(Home(home))
    if moved:
        console.print(moved, soft_wrap=True)
    begin(Home(home))
    check_registry(Home(home), parameters.model_name)
    data = str(Path(parameters.data).resolve()) if parameters.data else ""
    dataset = contract.resolve(parameters.dataset, Path(data) if data else None)
    digest = source_digest(Path(data), dataset) if data else ""
    whole = parameters.model_copy(update={"data": data, "dataset": dataset.content})
    folder = _new_folder(home, name)
    with run_folder.at_work(folder):
        try:
            _run_in(folder, whole, parameters.dataset, digest, console, refresh, runner)
        except Exception as error:
            with contextlib.suppress(ToolwearError):  # a disk without room for it
                run_folder.fail(folder, f"{type(error).__name__}: {error}")
            raise
    summary.print_run(folder, console)


def _run_in(
    folder: Path,
    parameters: RunParameters,
    dataset: str,
    digest: str,
    console: Console,
    refresh: bool,
    runner: Runner,
) -> None:
    """Run the graph in a new folder."""
    started, home = time.time(), folder.parent
    events = folder / run_folder.EVENTS
    events.mkdir()
    graph = folder / "pipeline.yaml"
    graph_digest = compile_training(graph)
    if runner is Runner.DOCKER:
        containers.require(graph)
    arguments = {
        **parameters.model_dump(),
        "data_digest": digest,
        "commit": commit(),
        "graph_digest": graph_digest,
    }
    # As it was asked for: a later run on other recordings reads these by their own contract.
    jsonfile.write(folder / run_folder.ARGUMENTS_FILE, {**arguments, "dataset": dataset})
    if refresh:
        shutil.rmtree(home / _CACHE_FOLDERS[runner], ignore_errors=True)
    _set_environment(home, events)
    console.print(f"run {folder.name}: graph {graph_digest[:12]}, seed {parameters.seed}")
    lines = ProgressLines(graph, events, console)
    # Standard output goes to the log meanwhile.
    terminal = plain_console(file=console.file, soft_wrap=True)
    with tracked(folder, arguments) as tracking:
        with _log_to(folder / "log.txt", lines), lines, _children_end_with_us(folder, terminal):
            if tracking.begin():
                tracking.settle()
            failed = _run_graph(graph, arguments, folder, home, runner)
        if failed is not None:
            _end_failed(folder, failed, console)
        summary.finish(folder, home, lines.steps(), time.time() - started)


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
    os.environ[RUN_VARIABLE] = events.parent.name
    os.environ["PYTHONPATH"] = str(ROOT)
    # Nor may a step import what lies in the folder where this was called, which may be the home.
    os.environ["PYTHONSAFEPATH"] = "1"
    # Every step is a process that imports much; without bytecode it would parse all of it anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    if AUTOML_PYTHON not in os.environ and _LOCAL_AUTOML.exists():
        os.environ[AUTOML_PYTHON] = str(_LOCAL_AUTOML)


def _run_graph(
    graph: Path, arguments: dict[str, Any], folder: Path, home: Path, runner: Runner
) -> RuntimeError | None:
    """Run the compiled graph; return kfp's error if a step failed."""
    from kfp import components as kfp_components
    from kfp import local

    with contextlib.ExitStack() as stack:
        chosen: Any = local.SubprocessRunner(use_venv=False)
        if runner is Runner.DOCKER:
            place = containers.Place(home, folder / run_folder.EVENTS, arguments["data"])
            chosen = stack.enter_context(containers.docker_runner(place))
        local.init(
            chosen,
            pipeline_root=str(folder / "artifacts"),
            enable_caching=True,
            cache_root=str(home / _CACHE_FOLDERS[runner]),
        )
        pipeline = kfp_components.load_component_from_file(str(graph))
        known = set(pipeline.component_spec.inputs or {})
        if arguments["data_digest"]:  # by which what was read of them before is known here
            let_cache_read(pipeline.component_spec.implementation.graph)
        try:
            pipeline(**{name: value for name, value in arguments.items() if name in known})
        except RuntimeError as error:
            return error
    return None


def let_cache_read(graph: Any) -> None:
    """Let what was read of the recordings before stand in for reading them.

    What the step would tell MLflow, which knows it here, has no part in what it reads.
    """
    for part in graph.components.values():
        if _INGEST in part.dag.tasks:
            task = part.dag.tasks[_INGEST]
            task.caching_options.enable_cache = True
            for name in set(task.inputs.parameters) - _READ_BY:
                del task.inputs.parameters[name]


def _end_failed(folder: Path, error: RuntimeError, console: Console) -> None:
    # A step that is still called running was killed: out of memory, perhaps.
    steps = run_folder.steps(folder, running=False)
    failed = [step for step in steps if step["state"] == State.FAILED]
    failed = failed or [step for step in steps if step["state"] == State.KILLED]
    refused = bool(failed) and all(_is_refusal(step) for step in failed)
    state = State.REFUSED if refused else State.FAILED
    title = "The data were refused" if refused else "The run failed"
    page = summary.write_failure(folder, title, failed, str(error))
    run_folder.fail(folder, failed[0]["reason"] if failed else str(error), state)
    for step in failed:
        said = state if step["state"] == State.FAILED else step["state"]
        console.print(Text.assemble((said, "red"), f" {step['step']}: {step['reason']}"))
    console.print(f"what happened and what to do: {page}")
    mendable = bool(failed) and all(step.get("user_error") for step in failed)
    sys.exit(EXIT_USAGE if mendable else EXIT_FAILURE)


def _is_refusal(step: Mapping[str, Any]) -> bool:
    """Tell whether a step decided that the data may not teach; that is no failure."""
    if step["step"] == VALIDATE:
        return bool(step.get("user_error"))
    return str(step["reason"]).startswith(Outcome.REFUSE_POISONED)


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
def _children_end_with_us(folder: Path, console: Console) -> Iterator[None]:
    """On SIGTERM and Ctrl-C end the step's processes too: none may register a model unwatched."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.terminate()
        if number == signal.SIGINT:
            run_folder.cancel(folder, "Ctrl-C")
        state, reason = run_folder.interrupted(folder)
        steps = run_folder.steps(folder, running=False)
        cut_off = [step for step in steps if step["state"] == state]
        summary.write_failure(folder, f"The run was {state}", cut_off, reason)
        console.print(f"{state}: {reason}")
        sys.exit(128 + number)

    signals = (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
