"""Runs on Kubeflow Pipelines."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from serving.trigger.backend import BackendDownError, Look, Other
from serving.trigger.store import Run, is_numbered
from toolwear.common.causes import Cause
from toolwear.common.errors import ToolwearError
from toolwear.common.states import ENDED, State
from toolwear.run.config import RunParameters
from toolwear.run.kubeflow import (
    PIPELINE,
    SUCCEEDED,
    Kubeflow,
    KubeflowDownError,
    RefusedError,
    RunState,
)
from toolwear.run.run_name import is_run_name

RECURRING = "toolwear-trigger"  # name of the trigger's recurring run
_RECURS = Cause.SCHEDULE.told(RECURRING)
# Of a run before; what a person has checked were the recordings of that run alone.
_INHERITED = RunParameters.model_fields.keys() - {"cause", "accept_runs"}
_log = logging.getLogger("toolwear.trigger")
# By Kubeflow's words; what is not here waits.
_STATES = {
    "RUNNING": State.RUNNING,
    "CANCELING": State.RUNNING,
    SUCCEEDED: State.SUCCEEDED,
    "CACHED": State.CACHED,
    "SKIPPED": State.SKIPPED,
    "FAILED": State.FAILED,
    "CANCELED": State.CANCELLED,
}


class KfpRuns:
    """Runs of the newest version of the pipeline; a run's display name is its name here.

    Args:
        host: address of the API.
        token: sent as a bearer token, if not empty.
        settings: of every run; a cause's own parameters win. What neither says is as in the last
            run there that succeeded, one of a person's rather than one of ours.
    """

    poll_seconds = 1.0
    pipeline = PIPELINE

    def __init__(self, host: str, token: str, settings: Mapping[str, Any]) -> None:
        self._host = host
        self._token = token
        self._settings = dict(settings)
        self._client: Kubeflow | None = None
        self._ids: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._cancelled: set[str] = set()

    def lacks(self, parameters: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return nothing: what is to be had there, the run itself finds out."""
        return ""

    def defaults(self) -> dict[str, Any]:
        """Return the settings that a run has which is given none of its own."""
        with self._asking() as kubeflow:
            return RunParameters().model_dump() | self._given(kubeflow)

    def start(self, run: Run) -> None:
        """Start a run; a second start of one name does nothing."""
        with self._asking() as kubeflow:
            version, values = kubeflow.version(), self._values(kubeflow, run)
            try:
                self._ids[run.name] = kubeflow.start(run.name, version, values)
            except RefusedError as error:
                self._refused[run.name] = str(error)

    def cancel(self, run: Run, why: str) -> None:  # noqa: ARG002
        """Ask for the run's end, once."""
        with self._asking() as kubeflow:
            run_id = self._id(kubeflow, run.name)
            if run_id is not None and run_id not in self._cancelled:
                kubeflow.cancel(run_id)
                self._cancelled.add(run_id)

    def look(self, run: Run) -> Look:
        """Ask what became of a run."""
        if run.name in self._refused:
            return Look(State.FAILED, self._refused[run.name])
        with self._asking() as kubeflow:
            run_id = self._id(kubeflow, run.name)
            if run_id is None:
                return Look(None)
            seen = kubeflow.look(run_id)
        state = _state(seen)
        return Look(state, _reason(seen) if state in (State.FAILED, State.CANCELLED) else "")

    def steps(self, name: str) -> list[Mapping[str, Any]]:
        """Return the tasks' states."""
        with self._asking() as kubeflow:
            run_id = self._id(kubeflow, name)
            tasks = kubeflow.look(run_id).tasks if run_id is not None else ()
        return [
            {
                "step": task.name,
                "state": _STATES.get(task.state, State.WAITING),
                "seconds": task.seconds,
                "reason": task.error,
            }
            for task in tasks
        ]

    def others(self) -> list[Other]:
        """Return the newest runs there: schedules and people start some too."""
        with self._asking() as kubeflow:
            runs = kubeflow.runs()
        return [
            Other(
                id=run.id,
                name=run.name,
                cause=str(run.parameters.get("cause") or Cause.ON_DEMAND.value),
                state=_state(run),
                reason="" if run.state == SUCCEEDED else _reason(run),
                started=run.started,
                ended=run.ended or time.time() if run.final else None,
            )
            for run in runs
        ]

    def recur(self, cron: str) -> None:
        """Keep one recurring run, of the newest version, with the settings of every run.

        Args:
            cron: when, in UTC; empty for no recurring run.
        """
        with self._asking() as kubeflow:
            if not cron:
                kubeflow.unschedule(RECURRING)
                return
            values = {**self._given(kubeflow), "cause": _RECURS}
            if kubeflow.schedule(RECURRING, cron, kubeflow.version(), values):
                _log.info("the recurring run is set to the newest version, %s UTC", cron)

    def has_trained(self, digest: str) -> bool:  # noqa: ARG002
        """Return False: what a run has read is in its lineage, not in Kubeflow's list."""
        return False

    def _values(self, kubeflow: Kubeflow, run: Run) -> dict[str, Any]:
        """Return what a run is started with."""
        return {**self._given(kubeflow), **run.parameters, "cause": run.text}

    def _given(self, kubeflow: Kubeflow) -> dict[str, Any]:
        """Return what a run is given that says nothing of its own: the site's recordings, say."""
        succeeded = [run for run in kubeflow.runs() if run.state == SUCCEEDED]
        for run in sorted(succeeded, key=_is_ours):  # stable: the newest of each first
            known = run.parameters.keys() & _INHERITED
            try:
                last = RunParameters(**{name: run.parameters[name] for name in known})
            except ValidationError as error:
                _log.warning("the parameters of the run %s are not taken over: %s", run.name, error)
                continue
            return {name: getattr(last, name) for name in known} | self._settings
        return dict(self._settings)

    def _id(self, kubeflow: Kubeflow, name: str) -> str | None:
        if not is_run_name(name):  # one of the others, known by its id
            return name
        if name not in self._ids:
            found = kubeflow.find(name)
            if found is None:
                return None
            self._ids[name] = found
        return self._ids[name]

    @contextmanager
    def _asking(self) -> Iterator[Kubeflow]:
        try:
            if self._client is None:
                self._client = Kubeflow(self._host, self._token, pipeline=self.pipeline)
            yield self._client
        except (KubeflowDownError, ToolwearError) as error:
            # No version yet, or another token: a person mends that, and the causes wait.
            raise BackendDownError(str(error)) from error


def _is_ours(run: RunState) -> bool:
    cause = str(run.parameters.get("cause", ""))
    return cause == _RECURS or is_numbered(cause)


def _state(run: RunState) -> State:
    if not run.final:
        return State.RUNNING
    found = _STATES[run.state]
    return found if found in ENDED else State.FAILED


def _reason(run: RunState) -> str:
    said = f"Kubeflow Pipelines says {run.state}"
    return f"{said}: {run.error}" if run.error else said
