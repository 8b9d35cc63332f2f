"""Kubeflow Pipelines over its API: versions, schedules and runs, each made once.

What `kfp.Client` leaves to its caller is done here: a version is not uploaded twice, a schedule
replaces the one of its name, a run of a name is started once, and a run that did not succeed is
told from one that did (the client's own wait neither raises nor knows of cancelled runs).
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from toolwear.common.errors import ToolwearError
from toolwear.common.loopback import by_proxy

PIPELINE = "toolwear-training"
SCORING = "toolwear-scoring"
# Of runs, by their pipeline: those that train must not be mixed up with those that score.
_EXPERIMENTS = {PIPELINE: "toolwear", SCORING: SCORING}
HOST_VARIABLE, TOKEN_VARIABLE = "KFP_HOST", "KFP_TOKEN"
SUCCEEDED = "SUCCEEDED"
# The others are PENDING, RUNNING, CANCELING, PAUSED and RUNTIME_STATE_UNSPECIFIED.
UNKNOWN = "unknown"  # as the pipeline's own default
FINAL = frozenset({SUCCEEDED, "SKIPPED", "FAILED", "CANCELED"})
_DESCRIBED = re.compile(r"commit (\S+), graph (\S+)")
# What the API lists beside the steps: the graph itself, and the pods that prepare a step.
_NO_STEPS = re.compile(r"root|executor|.*-driver|exit-handler-\d+|condition-.*")
_PAGE = 100
POLL_SECONDS = 5.0  # between two looks at a run that is waited for
_SECONDS = 30.0  # for an answer
_PROBE_SECONDS = 5.0
_UNAUTHORIZED = (401, 403)


class RefusedError(ToolwearError):
    """The API does not take what it was given."""


class KubeflowDownError(Exception):
    """The API does not answer; its text is a sentence."""


@dataclass(frozen=True)
class Origin:
    """Where a version is from: what a run of it writes into its lineage, by `lineage`."""

    commit: str = UNKNOWN
    graph_digest: str = UNKNOWN

    @property
    def lineage(self) -> dict[str, str]:
        """The parameters of a run that tell it."""
        return {"commit": self.commit, "graph_digest": self.graph_digest}

    def described(self) -> str:
        """Return it as the version's description, which `of` reads."""
        return f"commit {self.commit}, graph {self.graph_digest}"

    @classmethod
    def of(cls, description: str | None) -> Origin:
        """Return what a description tells, if it was written by `described`."""
        found = _DESCRIBED.fullmatch(description or "")
        return cls(*found.groups()) if found else cls()


@dataclass(frozen=True)
class Version:
    """A pipeline's version on the server; `made` tells whether this call made it."""

    pipeline_id: str
    version_id: str
    made: bool
    origin: Origin


@dataclass(frozen=True)
class Task:
    """A step of a run: its state in Kubeflow's words, its seconds so far, why it failed."""

    name: str
    state: str
    seconds: float | None
    error: str


@dataclass(frozen=True)
class RunState:
    """A run.

    Attributes:
        id: given by the server.
        name: given by whoever started it.
        state: in Kubeflow's words.
        error: why it failed, as far as it says.
        tasks: its steps in the order in which they began; empty in a list of runs.
        parameters: what it was started with.
        started: seconds since the epoch.
        ended: the same; None while it is at work.
    """

    id: str
    name: str
    state: str
    error: str
    tasks: tuple[Task, ...]
    parameters: dict[str, Any]
    started: float
    ended: float | None

    @property
    def final(self) -> bool:
        """Whether the run has ended."""
        return self.state in FINAL


class Unscheduled(StrEnum):
    """What became of a schedule that is not wanted any more."""

    GONE = "taken away"
    OFF = "switched off, for its run goes on; say it again once that has ended"
    ABSENT = "there is none"


class Kubeflow:
    """The API of one Kubeflow Pipelines.

    Args:
        host: address, such as http://ml-pipeline.kubeflow:8888.
        token: sent as a bearer token, if not empty.
        namespace: of the profile, where there are several users.
        pipeline: whose versions, schedules and runs are meant.

    Raises:
        KubeflowDownError: it does not answer.
        ToolwearError: it does not accept the token.
    """

    _lock = threading.RLock()  # one for all: see `_asking`

    def __init__(
        self,
        host: str,
        token: str = "",
        namespace: str = "kubeflow",
        pipeline: str = PIPELINE,
    ) -> None:
        self.host = host.rstrip("/")
        self._pipeline_name = pipeline
        _probe(self.host, token)
        from kfp import Client  # takes seconds

        with self._asking():
            self._client = Client(host=self.host, existing_token=token or None, namespace=namespace)
        self._namespace = None if namespace == "kubeflow" else namespace
        api = self._client._run_api.api_client.rest_client.pool_manager
        api.connection_pool_kw["timeout"] = _SECONDS  # by default it would wait for ever

    def upload(self, package: Path, version: str, origin: Origin) -> Version:
        """Upload a compiled pipeline as a version, unless the version is there.

        Raises:
            ToolwearError: the version is there with another graph.
        """
        with self._asking():
            pipeline_id = self._pipeline() or self._make_pipeline()
            found = self._version(pipeline_id, version)
        if found is None:
            try:
                with self._asking():
                    made = self._client.upload_pipeline_version(
                        str(package),
                        version,
                        pipeline_id=pipeline_id,
                        description=origin.described(),
                    )
                return Version(pipeline_id, made.pipeline_version_id, made=True, origin=origin)
            except RefusedError:
                with self._asking():
                    found = self._version(pipeline_id, version)
                if found is None:  # nobody else was faster: it is the pipeline that it refuses
                    raise
        there = Origin.of(found.description)
        if there.graph_digest != origin.graph_digest:
            raise ToolwearError(
                f"Version {version} of {self._pipeline_name} is on {self.host} with another graph; "
                "give another name with --version."
            )
        return Version(pipeline_id, found.pipeline_version_id, made=False, origin=there)

    def version(self, name: str = "") -> Version:
        """Return the version of a name, or the newest.

        Raises:
            ToolwearError: it is not there.
        """
        with self._asking():
            pipeline_id = self._pipeline()
            found = None
            if pipeline_id is not None and name:
                found = self._version(pipeline_id, name)
            elif pipeline_id is not None:
                newest = self._client.list_pipeline_versions(
                    pipeline_id, page_size=1, sort_by="created_at desc"
                ).pipeline_versions
                found = newest[0] if newest else None
        if pipeline_id is None or found is None:
            graph = " --graph scoring" if self._pipeline_name == SCORING else ""
            raise ToolwearError(
                f"There is no version {name} of {self._pipeline_name} on {self.host}; "
                f"upload it first: toolwear kfp upload{graph}."
            )
        origin = Origin.of(found.description)
        return Version(pipeline_id, found.pipeline_version_id, made=False, origin=origin)

    def schedule(
        self, name: str, cron: str, version: Version, parameters: Mapping[str, Any]
    ) -> bool:
        """Let runs of a version start by a cron expression in UTC; tell whether that is new.

        A schedule of the name is replaced, the new one first: a kill in between leaves both, and
        the next call mends that, rather than none, which nobody would notice.

        Raises:
            ToolwearError: the expression is none.
        """
        six = _six_fields(cron)
        values = self._told(version, parameters)
        wanted = (six, version.version_id, _plain(values))
        with self._asking():
            experiment = self._experiment()
            old = self._recurring(name, experiment)
            same = [run for run in old if _meaning(run) == wanted]
            if not same:
                self._client.create_recurring_run(
                    experiment_id=experiment,
                    job_name=name,
                    cron_expression=six,
                    max_concurrency=1,
                    no_catchup=True,
                    params=values,
                    pipeline_id=version.pipeline_id,
                    version_id=version.version_id,
                )
            extra = [run for run in old if run not in same[:1]]
            self._take_away(extra, experiment)
        return bool(extra) or not same

    def unschedule(self, name: str) -> Unscheduled:
        """Take a schedule away; one whose run is at work is only switched off."""
        with self._asking():
            experiment = self._experiment()
            found = self._recurring(name, experiment)
            if not found:
                return Unscheduled.ABSENT
            return Unscheduled.OFF if self._take_away(found, experiment) else Unscheduled.GONE

    def start(self, name: str, version: Version, parameters: Mapping[str, Any]) -> str:
        """Start a run and return its id; a run of that name that is there is the run."""
        found = self.find(name)
        if found is not None:
            return found
        with self._asking():
            made = self._client.run_pipeline(
                experiment_id=self._experiment(),
                job_name=name,
                params=self._told(version, parameters),
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
            )
            return str(made.run_id)

    def runs(self) -> list[RunState]:
        """Return the newest runs, whoever started them."""
        with self._asking():
            found = self._client.list_runs(
                page_size=_PAGE, experiment_id=self._experiment(), sort_by="created_at desc"
            ).runs
        return [_seen(run) for run in found or []]

    def find(self, name: str) -> str | None:
        """Return the id of the run of a name."""
        with self._asking():
            runs = self._client.list_runs(
                page_size=_PAGE,
                experiment_id=self._experiment(),
                sort_by="created_at",
                filter=_named(name),
            ).runs
        return str(runs[0].run_id) if runs else None

    def look(self, run_id: str) -> RunState:
        """Return how a run is."""
        with self._asking():
            return _seen(self._client.get_run(run_id))

    def wait(self, run_id: str, seconds: float, tell: Callable[[str], None]) -> RunState:
        """Wait for a run's end, telling of each step that ends; the last look if time is up.

        An API that is down for a while is waited for too: the run goes on without it.

        Raises:
            KubeflowDownError: it is still away when the time is up.
        """
        deadline = time.monotonic() + seconds
        told: set[tuple[str, str]] = set()
        while True:
            late = time.monotonic() >= deadline
            try:
                seen = self.look(run_id)
            except KubeflowDownError as error:
                if late:
                    raise
                tell(f"{error}; asking again")
            else:
                for task in seen.tasks:
                    if task.state in FINAL and (task.name, task.state) not in told:
                        told.add((task.name, task.state))
                        took = "" if task.seconds is None else f" {task.seconds:.0f} s"
                        tell(f"{task.name}: {task.state.lower()}{took} {task.error}".rstrip())
                if seen.final or late:
                    return seen
            time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))

    def cancel(self, run_id: str) -> None:
        """Ask for a run's end."""
        with self._asking():
            self._client.terminate_run(run_id)

    def _told(self, version: Version, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a run is started with: one that trains has a lineage to write."""
        lineage = version.origin.lineage if self._pipeline_name == PIPELINE else {}
        return {**parameters, **lineage}

    def _pipeline(self) -> str | None:
        found = self._client.list_pipelines(
            page_size=_PAGE, namespace=self._namespace, filter=_named(self._pipeline_name)
        ).pipelines
        return str(found[0].pipeline_id) if found else None

    def _make_pipeline(self) -> str:
        """Make the pipeline without a version: the client's upload would make one of no commit."""
        from kfp_server_api import V2beta1Pipeline

        name = self._pipeline_name
        wanted = V2beta1Pipeline(name=name, display_name=name, namespace=self._namespace)
        made = self._client._pipelines_api.pipeline_service_create_pipeline(pipeline=wanted)
        return str(made.pipeline_id)

    def _version(self, pipeline_id: str, name: str) -> Any:
        found = self._client.list_pipeline_versions(
            pipeline_id, page_size=_PAGE, filter=_named(name)
        ).pipeline_versions
        return found[0] if found else None

    def _experiment(self) -> str:
        name = _EXPERIMENTS[self._pipeline_name]
        made = self._client.create_experiment(name, namespace=self._namespace)
        return str(made.experiment_id)

    def _recurring(self, name: str, experiment: str) -> list[Any]:
        return list(
            self._client.list_recurring_runs(
                page_size=_PAGE, experiment_id=experiment, filter=_named(name)
            ).recurring_runs
            or []
        )

    def _take_away(self, recurring: list[Any], experiment: str) -> bool:
        """Delete schedules but those whose run is at work; tell whether one is.

        With a schedule its run would go: these are switched off, and deleted the next time.
        """
        if not recurring:
            return False
        runs = self._client.list_runs(
            page_size=_PAGE, experiment_id=experiment, sort_by="created_at desc"
        ).runs
        at_work = {run.recurring_run_id for run in runs or [] if str(run.state) not in FINAL}
        for one in recurring:
            if one.recurring_run_id not in at_work:
                self._client.delete_recurring_run(one.recurring_run_id)
            elif one.mode == "ENABLE":
                self._client.disable_recurring_run(one.recurring_run_id)
        return any(one.recurring_run_id in at_work for one in recurring)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        from kfp_server_api.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            # The client prints links; one at a time, as standard output is everybody's.
            with self._lock, contextlib.redirect_stdout(io.StringIO()):
                yield
        except HTTPError as error:
            raise _down(self.host, type(error).__name__) from error
        except ApiException as error:
            if error.status in _UNAUTHORIZED:
                raise _refused(self.host, error.status) from None
            if error.status and 400 <= error.status < 500:
                raise RefusedError(
                    f"Kubeflow Pipelines at {self.host} refused: {_reason(error)}"
                ) from None
            raise _down(self.host, f"HTTP {error.status}") from error


def _probe(host: str, token: str) -> None:
    """Ask whether it is there: the client itself would try for half a minute."""
    import httpx  # takes a while, like the client, and the names above are wanted everywhere

    headers = {"authorization": f"Bearer {token}"} if token else {}
    url = f"{host}/apis/v2beta1/healthz"
    try:
        status = httpx.get(
            url, headers=headers, timeout=_PROBE_SECONDS, trust_env=by_proxy(url)
        ).status_code
    except (httpx.UnsupportedProtocol, httpx.InvalidURL):
        raise ToolwearError(f"'{host}' is no address; write one like http://host:8888.") from None
    except httpx.TransportError as error:
        raise _down(host, type(error).__name__) from error
    if status in _UNAUTHORIZED:
        raise _refused(host, status)
    if status != httpx.codes.OK:
        raise _down(host, f"HTTP {status}")


def _down(host: str, what: str) -> KubeflowDownError:
    return KubeflowDownError(f"Kubeflow Pipelines at {host} does not answer ({what})")


def _refused(host: str, status: int) -> ToolwearError:
    return ToolwearError(
        f"Kubeflow Pipelines at {host} lets nobody in with this token (HTTP {status}); "
        f"set {TOKEN_VARIABLE}."
    )


def _reason(error: Any) -> str:
    try:
        return str(json.loads(error.body)["error"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)


def _named(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def _six_fields(cron: str) -> str:
    """Return the expression with Kubeflow's seconds in front."""
    from croniter import croniter

    fields = cron.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6 or not croniter.is_valid(" ".join(fields[1:])):
        raise ToolwearError(f"'{cron}' is no cron expression in UTC; write one like '0 3 * * *'.")
    return " ".join(fields)


def _seen(run: Any) -> RunState:
    """Return a run of the client's as ours."""
    details = (run.run_details.task_details if run.run_details else None) or []
    steps = [task for task in details if not _NO_STEPS.fullmatch(task.display_name or "root")]
    tasks = tuple(
        Task(
            task.display_name,
            str(task.state),
            _seconds(task.start_time, task.end_time),
            _message(task),
        )
        for task in sorted(steps, key=lambda task: task.start_time or task.create_time)
    )
    faults = [f"{task.name}: {task.error}" for task in tasks if task.error]
    ended = run.finished_at
    return RunState(
        id=str(run.run_id),
        name=str(run.display_name),
        state=str(run.state),
        error=_message(run) or "; ".join(faults),
        tasks=tasks,
        parameters=dict((run.runtime_config.parameters if run.runtime_config else None) or {}),
        started=run.created_at.timestamp(),
        # A run without an end has the epoch for it.
        ended=ended.timestamp() if ended and ended.timestamp() > 0 else None,
    )


def _message(item: Any) -> str:
    return str(item.error.message or "") if item.error else ""


def _seconds(start: Any, end: Any) -> float | None:
    if not start or start.timestamp() <= 0:
        return None
    ended = end.timestamp() if end and end.timestamp() > 0 else time.time()
    return round(max(0.0, ended - start.timestamp()), 1)


def _plain(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return parameters as they come back over JSON, where 1 is 1.0."""
    return {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in (parameters or {}).items()
    }


def _meaning(run: Any) -> tuple[str, str, dict[str, Any]] | None:
    """Return what a schedule does; None for one that does not do it as ours do."""
    cron = run.trigger.cron_schedule if run.trigger else None
    reference = run.pipeline_version_reference
    if cron is None or reference is None or not run.no_catchup or run.mode != "ENABLE":
        return None
    parameters = run.runtime_config.parameters if run.runtime_config else None
    return cron.cron, reference.pipeline_version_id, _plain(parameters)
