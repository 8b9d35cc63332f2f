"""Runs on this machine: `toolwear run` as a process that outlives the trigger."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.trigger import launch
from serving.trigger.backend import Look, Other
from serving.trigger.store import Run
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.files import read_end
from toolwear.common.fingerprint import ROOT
from toolwear.common.person import NAME_VARIABLE
from toolwear.common.states import State
from toolwear.release import audit_log
from toolwear.run import kubeflow, run_folder
from toolwear.run.config import RunParameters
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import VARIABLES

TOOLWEAR_RUN = (sys.executable, "-m", "toolwear.cli", "run")
_WHO = "toolwear trigger"  # on the audit log: no person has started it
_SIGNAL = 128  # a shell's way to say that a signal ended a program
_REASON = 300  # characters
_log = logging.getLogger("toolwear.trigger")
_LOG_BYTES = 64 << 10  # of its end, in which its last words are


class Embedded:
    """Runs below a home.

    Args:
        home: the system's folder.
        settings: of every run; a cause's own parameters win. What neither says is as in the last
            `toolwear run` that succeeded.
        command: does a run; it is given the options of `toolwear run`.
    """

    poll_seconds = 0.25

    def __init__(
        self, home: Home, settings: Mapping[str, Any], command: Sequence[str] = TOOLWEAR_RUN
    ) -> None:
        self._home = home
        self._settings = dict(settings)
        self._command = list(command)
        self._launchers: list[subprocess.Popen[bytes]] = []
        self._refused: dict[str, str] = {}

    def lacks(self, parameters: Mapping[str, Any]) -> str:
        """Return a sentence if nobody has said what to train on, or if that is gone."""
        values = self._values(parameters)
        if values is None:
            return (
                f"It is not known what to train on: no `toolwear run` in {self._home.root} has "
                "succeeded yet; give the trigger a folder with --data, or the run its parameter "
                "'data'."
            )
        data = values.get("data", "")
        if data and not Path(data).is_dir():
            return f"The recordings are to be in {data}, and there is no such folder; mend 'data'."
        return ""

    def defaults(self) -> dict[str, Any]:
        """Return the settings that a run has which is given none of its own."""
        return RunParameters().model_dump() | (self._values({}) or self._settings)

    def start(self, run: Run) -> None:
        """Start a run; a second start of one name does nothing."""
        lacking = self.lacks(run.parameters)
        if lacking:
            self._refused[run.name] = lacking
            return
        try:
            self._launchers.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "serving.trigger.launch",
                        str(self._folder(run.name)),
                        *self._command,
                        f"--home={self._home.root}",
                        *self._options(run),
                    ],
                    cwd=ROOT,
                    env={**_environment(), "PYTHONPATH": str(ROOT)},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
        except OSError as error:  # what was asked is too long for a command, say
            self._refused[run.name] = f"It could not be started: {error.strerror}."

    def cancel(self, run: Run, why: str) -> None:
        """Record in the run's folder who wants its end and why, and have the launcher end it."""
        run_folder.cancel(self._home.root / run.name, why)
        launch.cancel(self._folder(run.name))

    def look(self, run: Run) -> Look:
        """Tell by the launcher's folder what became of a run."""
        self._launchers = [process for process in self._launchers if process.poll() is None]
        seen = launch.look(self._folder(run.name))
        if not seen.claimed:
            lacking = self._refused.get(run.name)
            return Look(None) if lacking is None else Look(State.FAILED, lacking)
        if seen.code == 0:
            return Look(State.SUCCEEDED)
        if seen.code is None:
            return (
                Look(State.RUNNING)
                if seen.at_work
                else self._killed(run, "it was killed, or its machine was")
            )
        if seen.code < 0 or seen.code > _SIGNAL:
            return self._killed(run, f"it was killed by signal {abs(seen.code) % _SIGNAL}")
        return Look(State.FAILED, self._last_words(run.name) or f"it ended with {seen.code}")

    def steps(self, name: str) -> list[Mapping[str, Any]]:
        """Return what the steps have recorded, in the order in which they began."""
        running = launch.look(self._folder(name)).at_work
        keys = ("step", "state", "seconds", "reason")
        return [
            {"reason": "", **{key: event[key] for key in keys if key in event}}
            for event in run_folder.steps(self._home.root / name, running=running)
        ]

    def others(self) -> list[Other]:
        """Return none: a person who starts a run here looks after it."""
        return []

    def has_trained(self, digest: str) -> bool:
        """Tell whether a finished run of the home has had these recordings."""
        return any(
            (folder / run_folder.SUMMARY_FILE).exists()
            and _arguments(folder).get("data_digest") == digest
            for folder in run_folder.folders(self._home.root)
        )

    def _options(self, run: Run) -> list[str]:
        """Return what the command is told of a run."""
        values = {**(self._values(run.parameters) or {}), "cause": run.text}
        return [f"--name={run.name}", *(f"--set={key}={value}" for key, value in values.items())]

    def _values(self, own: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return a run's parameters as far as they are known; None if its data are not."""
        given = {**self._settings, **own}
        last = _of_last_run(self._home.root, self._home.trigger / "runs")
        if last is None:
            return given if given.get("data") else None
        return {**last, **given}

    def _folder(self, name: str) -> Path:
        return self._home.trigger / "runs" / name

    def _killed(self, run: Run, reason: str) -> Look:
        """Tell of a killed run; one whose decision is on the audit log has done its work."""
        try:
            log = audit_log.entries(self._home)
        except ToolwearError as error:
            return Look(State.FAILED, f"it was killed, and {error}")
        for entry in log:
            if entry["cause"] == run.text and entry["action"] != audit_log.FOUND:
                said = entry["action"].replace("_", " ")
                return Look(State.FAILED, f"it was killed after its decision ({said})")
        return Look(State.KILLED, reason)

    def _last_words(self, name: str) -> str:
        for step in self.steps(name):
            if step["state"] == State.FAILED:
                return f"{step['step']}: {step['reason']}"[:_REASON]
        log = self._folder(name) / launch.LOG
        lines = read_end(log, _LOG_BYTES).split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:_REASON]


def _environment() -> dict[str, str]:
    """Return ours without what only the trigger itself needs."""
    kept_back = (*VARIABLES.values(), kubeflow.TOKEN_VARIABLE)
    ours = {name: value for name, value in os.environ.items() if name not in kept_back}
    return {**ours, NAME_VARIABLE: _WHO}


def _arguments(folder: Path) -> dict[str, Any]:
    """Return what a run was started with; nothing where its file is broken: another may do."""
    try:
        values = jsonfile.read(folder / run_folder.ARGUMENTS_FILE)
    except (ToolwearError, ValueError, OSError) as error:
        _log.warning("the run %s is left out: %s", folder.name, error)
        return {}
    return values if isinstance(values, dict) else {}


def _of_last_run(root: Path, ours: Path) -> dict[str, Any] | None:
    """Return the parameters of the last successful `toolwear run`, None without."""
    for folder in run_folder.folders(root):
        values = _arguments(folder)
        ended = (folder / run_folder.SUMMARY_FILE).exists()
        if values and ended and not (ours / folder.name).exists():
            # What a person has checked were the recordings of that run.
            known = set(RunParameters.model_fields) - {"cause", "accept_runs"}
            return {name: value for name, value in values.items() if name in known}
    return None
