"""Starts the trigger over a home: one process for one home."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.common.arguments import LOOPBACK
from serving.http.gate import Gate
from serving.http.server import http_server
from serving.trigger import metrics
from serving.trigger.app import application
from serving.trigger.backend import Backend
from serving.trigger.bucket import LATEST, BucketWatch
from serving.trigger.dispatcher import Dispatcher
from serving.trigger.embedded import TOOLWEAR_RUN, Embedded
from serving.trigger.jobs import Jobs
from serving.trigger.libraries import import_for_threads
from serving.trigger.operations import Operations
from serving.trigger.schedule import Clock, Recurring, Schedule, check
from serving.trigger.scoring import ScoringHere, ScoringOnKfp
from serving.trigger.store import Store
from serving.trigger.watch import FolderWatch, Watch
from toolwear.common.causes import Cause
from toolwear.common.errors import EXIT_FAILURE, ToolwearError
from toolwear.common.lock import exclusive
from toolwear.common.ports import TRIGGER
from toolwear.common.s3 import is_bucket
from toolwear.common.thresholds import thresholds
from toolwear.release import audit_log
from toolwear.release.served import served_by
from toolwear.run.config import load
from toolwear.run.scoring import queue
from toolwear.workspace.home import Home
from toolwear.workspace.moved import follow
from toolwear.workspace.servers import announced
from toolwear.workspace.tokens import Scope, Tokens

_LOCK_SECONDS = 5.0  # for a predecessor to end
_log = logging.getLogger("toolwear.trigger")


@dataclass(frozen=True)
class Options:
    """How to trigger.

    Attributes:
        home: the system's folder.
        host: address to listen at.
        http_port: port to listen at.
        access_log: one line per request.
        settings: of every run, by the names of `RunParameters`.
        watch: folder of recordings, or s3://bucket/prefix; empty for none.
        schedule: cron expression of five fields in UTC; empty for none.
        cooldown_seconds: of every cause instead of the thresholds'; None for theirs.
        settle_seconds: instead of the thresholds'; None for theirs.
        kfp_host: address of Kubeflow Pipelines' API; empty: runs are done here.
        kfp_token: for it.
        mlflow_uri: registry; empty for the local one.
        model_name: of the model that is rolled back.
        run_command: does a run here.
    """

    home: Home
    host: str = LOOPBACK
    http_port: int = TRIGGER
    access_log: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    watch: str = ""
    schedule: str = ""
    cooldown_seconds: float | None = None
    settle_seconds: float | None = None
    kfp_host: str = ""
    kfp_token: str = ""
    mlflow_uri: str = ""
    model_name: str = "toolwear"
    run_command: tuple[str, ...] = TOOLWEAR_RUN


def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; a run at work goes on and is found again.

    Raises:
        ToolwearError: an option is wrong, or another trigger is at work in this home.
        SystemExit: the dispatcher failed; the log says why.
    """
    settings = _checked(options)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    options.home.root.mkdir(parents=True, exist_ok=True)
    what = f"running the trigger of {options.home.root}"
    with exclusive(options.home.lock("trigger"), what, _LOCK_SECONDS):
        moved = follow(options.home)
        if moved:
            _log.info(moved)
        _begin_log(options.home)
        tokens = Tokens(options.home)
        for may in (Scope.ALERT, Scope.OPERATE):
            tokens.own(may)
        store = Store(options.home.trigger)
        metrics.prepare(store, options.home)
        served = served_by(options.home)
        import_for_threads(
            kubeflow=bool(options.kfp_host),
            cluster=served is not None,
            bucket=is_bucket(options.watch),
        )
        operations = Operations(options.home, options.mlflow_uri, options.model_name, served)
        jobs_store = Store(queue(options.home))
        dispatcher, jobs = _dispatcher(options, settings, store), _jobs(options, jobs_store)
        app = application(dispatcher, operations, Gate(tokens), jobs)
        server = http_server(app, options.host, options.http_port, access_log=options.access_log)
        here = f"http://{LOOPBACK}:{options.http_port}"
        with announced(options.home, {"trigger": here} if options.host == LOOPBACK else {}):
            both = (dispatcher, jobs.dispatcher)
            for one in both:
                one.start(lambda: setattr(server, "should_exit", True))
            operations.warm()
            server.run()
            for one in both:
                one.stop()
        store.close()
        jobs_store.close()
        if any(one.failed for one in both):
            sys.exit(EXIT_FAILURE)


def _begin_log(home: Home) -> None:
    try:
        audit_log.begin(home)
    except ToolwearError as error:  # what acts on the log says it again
        _log.error("%s", error)


def _checked(options: Options) -> dict[str, Any]:
    """Return the settings of every run: those that were given here, by file or by environment."""
    if "cause" in options.settings:
        raise ToolwearError("The trigger itself says why a run was started; leave out 'cause'.")
    if options.schedule:
        check(options.schedule)
    given = dict(options.settings)
    if options.watch:
        given.setdefault("data", str(_recordings(options)))
    # The run has another working folder, so that it would miss a file or a path from here.
    whole = load(None, **given)
    values = whole.model_dump(exclude_defaults=True)
    values.update({name: getattr(whole, name) for name in given})
    if whole.data:
        values["data"] = str(Path(whole.data).absolute())
    return values


def _recordings(options: Options) -> Path:
    """Return the folder in which the watched recordings are, or will be."""
    if is_bucket(options.watch):
        return _copies(options) / LATEST
    return Path(options.watch)


def _copies(options: Options) -> Path:
    return options.home.trigger / "recordings"


def _dispatcher(options: Options, settings: dict[str, Any], store: Store) -> Dispatcher:
    limits = thresholds().trigger
    seconds = options.cooldown_seconds
    cooldown = {
        cause: limits.cooldown_seconds.of(cause) if seconds is None else seconds for cause in Cause
    }
    backend, clock = _place(options, settings, store)
    settle = limits.settle_seconds if options.settle_seconds is None else options.settle_seconds
    watches: list[Watch] = []
    known, dataset = backend.has_trained, str(settings.get("dataset", ""))
    if is_bucket(options.watch):
        watches.append(BucketWatch(options.watch, _copies(options), settle, known, dataset))
    elif options.watch:
        watches.append(FolderWatch(Path(options.watch).resolve(), settle, known, dataset))
    return Dispatcher(
        store,
        backend,
        clock,
        watches,
        cooldown,
        limits.retries,
        limits.waiting,
        limits.alert_gap_seconds,
        lambda cause: _was_refused(options.home, cause),
    )


def _jobs(options: Options, store: Store) -> Jobs:
    limits = thresholds().trigger
    backend: Backend = ScoringHere(options.home)
    if options.kfp_host:
        backend = ScoringOnKfp(options.kfp_host, options.kfp_token)
    dispatcher = Dispatcher(
        store,
        backend,
        Schedule("", store, time.time()),
        (),
        dict.fromkeys(Cause, 0.0),
        limits.retries,
        limits.waiting,
        limits.alert_gap_seconds,
        lambda _: False,
    )
    return Jobs(dispatcher, options.home)


def _was_refused(home: Home, cause: str) -> bool:
    try:
        return audit_log.was_refused(audit_log.entries(home), cause)
    except ToolwearError as error:  # a log that was changed must not keep runs from going on
        _log.error("whether a run was refused is not known: %s", error)
        return False


def _place(options: Options, settings: dict[str, Any], store: Store) -> tuple[Backend, Clock]:
    """Return where runs are done, and the clock that starts some there."""
    if options.kfp_host:
        from serving.trigger.kfp_runs import KfpRuns

        kubeflow = KfpRuns(options.kfp_host, options.kfp_token, settings)
        return kubeflow, Recurring(options.schedule, kubeflow.recur)
    here = Embedded(options.home, settings, options.run_command)
    return here, Schedule(options.schedule, store, time.time())
