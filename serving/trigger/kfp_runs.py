"""Runs on Kubeflow Pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from components.core.errors import ToolwearError
from components.core.kubeflow import SUCCEEDED, Kubeflow, KubeflowDownError, RefusedError
from serving.trigger.backend import BackendDownError, Look
from serving.trigger.store import Run, State


class KfpRuns:
    """Runs of the newest version of the pipeline; a run's display name is its name here.

    Args:
        host: address of the API.
        token: sent as a bearer token, if not empty.
        settings: of every run; a cause's own parameters win.
    """

    def __init__(self, host: str, token: str, settings: Mapping[str, Any]) -> None:
        self._host = host
        self._token = token
        self._settings = dict(settings)
        self._client: Kubeflow | None = None
        self._ids: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def lacks(self, parameters: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return nothing: what is to be had there, the run itself finds out."""
        return ""

    def start(self, run: Run) -> None:
        """Start a run; a second start of one name does nothing."""
        values = {**self._settings, **run.parameters, "cause": run.text}
        with self._asking() as kubeflow:
            version = kubeflow.version()
            try:
                self._ids[run.name] = kubeflow.start(run.name, version, values)
            except RefusedError as error:
                self._refused[run.name] = str(error)

    def look(self, run: Run) -> Look:
        """Ask what became of a run."""
        if run.name in self._refused:
            return Look(State.FAILED, self._refused[run.name])
        with self._asking() as kubeflow:
            run_id = self._id(kubeflow, run.name)
            if run_id is None:
                return Look(None)
            seen = kubeflow.look(run_id)
        if not seen.final:
            return Look(State.RUNNING)
        if seen.state == SUCCEEDED:
            return Look(State.SUCCEEDED)
        return Look(State.FAILED, seen.error or f"Kubeflow Pipelines says {seen.state}")

    def steps(self, name: str) -> list[Mapping[str, Any]]:
        """Return the tasks' states."""
        with self._asking() as kubeflow:
            run_id = self._id(kubeflow, name)
            tasks = kubeflow.look(run_id).tasks if run_id is not None else {}
        return [
            {"step": task, "state": state.lower(), "seconds": None, "reason": ""}
            for task, state in tasks.items()
        ]

    def has_trained(self, digest: str) -> bool:  # noqa: ARG002
        """Return False: what a run has read is in its lineage, not in Kubeflow's list."""
        return False

    def _id(self, kubeflow: Kubeflow, name: str) -> str | None:
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
                self._client = Kubeflow(self._host, self._token)
            yield self._client
        except (KubeflowDownError, ToolwearError) as error:
            # No version yet, or another token: a person mends that, and the causes wait.
            raise BackendDownError(str(error)) from error
