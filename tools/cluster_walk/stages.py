"""The stages of the walk: what each does, and what has to be seen."""

from __future__ import annotations

import secrets as random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import httpx

from datasets.cnc_mill import names as mill
from pipelines.settings import HOME_PATH
from tools import versions
from tools.backups import BACKUP, PARTS, RESTORE, run, stopped
from tools.cluster_walk.site import RECORDINGS, Site, wait_for
from tools.cluster_walk.walk import Stage
from tools.kind.programs import CommandFailedError
from tools.kind.smoke import PREDICT, smoke
from tools.kind.steps import INSTALLS, STEPS
from tools.kind.tries import pipeline
from tools.replay.recordings import read
from toolwear.common.causes import Cause
from toolwear.common.loopback import by_proxy
from toolwear.common.states import ENDED
from toolwear.dataset import schema
from toolwear.release import audit_log
from toolwear.release.blue_green.logic import ALL

_FIRST = 10  # recordings that the first model learns from; the others are new to it
_SHARES = (10, 50, ALL)  # of the traffic, percent
_RUN_SECONDS, _DRIFT_SECONDS, _MOVE_SECONDS = 3 * 3600.0, 1800.0, 1200.0
_FIRST_DIGEST, _RETRAINED, _RUN_NAME = "first package", "retrained package", "name of the run"
_WHY = "cluster walk"
_EMPTY_SCHEMA = "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION mlflow;"
_EMPTY_BUCKET = (
    "import boto3; bucket = boto3.resource('s3').Bucket('toolwear-models'); "
    "print(sum(len(page.get('Deleted', [])) for page in bucket.objects.delete()))"
)
# What says which model is champion, and its bytes.
_HOME = "records.db* packages"


def _installs() -> Iterator[Stage[Site]]:
    """The steps of `make cluster-install`."""

    def stage(name: str) -> Stage[Site]:
        step = STEPS[name]

        def see(site: Site) -> str:
            step(site.settings)
            return _INSTALLED.get(name, site.settings.overlay)

        return Stage(name, str(step.__doc__).strip(), see)

    return (stage(name) for name in INSTALLS)


_INSTALLED = {
    "kubeflow": f"Kubeflow Pipelines {versions.KFP}",
    "cert-manager": f"cert-manager {versions.CERT_MANAGER}",
    "kserve": f"KServe {versions.KSERVE}",
    "gateway": f"Envoy Gateway {versions.ENVOY_GATEWAY}",
}


def recordings(site: Site) -> str:
    """Bring the first recordings to the home; the others come with the drift."""
    rows = site.runs()
    site.bring(rows[:_FIRST])
    return f"{min(_FIRST, len(rows))} of {len(rows)} recordings in {RECORDINGS}"


def first_run(site: Site) -> str:
    """Upload the pipeline, and run it until a model serves."""
    name = site.journal.facts.setdefault(_RUN_NAME, f"walk-{random.token_hex(3)}")
    site.journal.keep()  # a run that is there is waited for, not started again
    pipeline(replace(site.settings, run_name=name, data=site.data))
    digest = site.digest()
    if not digest:
        raise CommandFailedError(f"the run {name} succeeded, and no model has traffic")
    site.journal.facts[_FIRST_DIGEST] = digest
    return f"run {name}; the package {digest[:12]} serves"


def answers(site: Site) -> str:
    """Ask the model through the gateway, rightly and wrongly."""
    with site.gateway() as address:
        return "; ".join(smoke(address))


def drift(site: Site) -> str:
    """Send recordings that the champion has not seen until a run has retrained it."""
    rows = site.runs()
    site.bring(rows)
    new = [str(int(row[mill.RUN_NUMBER])) for row in rows[_FIRST:]]
    site.toolwear("vouch", *new, "--data", RECORDINGS, "--why", _WHY)
    known = {str(entry["id"]) for entry in _causes(site)}
    ids = [schema.run_id(int(number)) for number in new]
    started = time.monotonic()
    with _sending(site, ids):
        cause = wait_for(
            "a run of the trigger's for the change in what is sent",
            lambda: _new_cause(site, known),
            _DRIFT_SECONDS,
        )
        seen = time.monotonic() - started
    ended = wait_for(f"the end of run {cause}", lambda: _ended(site, cause), _RUN_SECONDS)
    digest = site.digest()
    if digest == site.journal.facts[_FIRST_DIGEST]:
        raise CommandFailedError(f"run {ended['text']} is {ended['status']}: the champion stayed")
    site.journal.facts[_RETRAINED] = digest
    return f"alert to run in {seen:.0f} s: {ended['text']}; the package {digest[:12]} serves"


def back(site: Site) -> str:
    """Roll back to the champion before, which has all of the traffic then."""
    site.toolwear("rollback", "--why", _WHY)
    expected = site.journal.facts[_FIRST_DIGEST]
    wait_for("the traffic", lambda: site.digest() == expected or None, _MOVE_SECONDS)
    wait_for("its end", lambda: _settled(site), _MOVE_SECONDS)
    return f"the package {expected[:12]} has {_told(site.weights())}"


def approval(site: Site) -> str:
    """Hold a winner, allow it, and see its share of the traffic grow step by step."""
    steps = ",".join(map(str, _SHARES))
    given = {"approval": "true", "deploy_weights": steps}
    name = f"approval-{random.token_hex(3)}"
    pipeline(replace(site.settings, run_name=name, data=site.data, given=given))
    held = [entry for entry in site.audit_log() if entry["action"] == audit_log.HELD]
    if not held:
        raise CommandFailedError("the run held nothing: its model did not win")
    before = site.digest()
    with _watched(site) as seen:
        site.toolwear("allow", str(held[-1]["to"]), "--why", _WHY)
        wait_for("the traffic", lambda: _moved(site, before), _MOVE_SECONDS)
    missing = [share for share in _SHARES if not any(share in one.values() for one in seen)]
    if missing:
        raise CommandFailedError(f"no share of {missing} % was seen: {_path(seen)}")
    return f"version {held[-1]['to']} held, allowed; traffic: {_path(seen)}"


def backup(site: Site) -> str:
    """Copy everything."""
    for name in PARTS:
        run(site.settings.programs, name, BACKUP)
    return f"copies of {', '.join(PARTS)}"


def destruction(site: Site) -> str:
    """Take away registry, bucket, packages, audit log and Redis, and see that they are gone."""
    site.journal.facts["before destruction"] = site.digest()
    psql = ("psql", "--username=postgres", "--dbname=mlflow", "--quiet", "--command")
    site.in_pod("statefulset/postgres", *psql, _EMPTY_SCHEMA)
    objects = site.in_pod("deploy/trigger", "python", "-c", _EMPTY_BUCKET).strip()
    site.in_pod("statefulset/redis", "redis-cli", "-e", "flushall")
    site.in_pod("deploy/trigger", "sh", "-c", f"cd {HOME_PATH} && rm -rf {_HOME}")
    left = site.in_pod("statefulset/postgres", *psql, r"\dt").strip()
    if left:
        raise CommandFailedError(f"the registry is still there: {left}")
    return f"no table in the registry, {objects} objects deleted, home and Redis emptied"


def restore(site: Site) -> str:
    """Bring the copies back, have the champion served, and ask it."""
    programs = site.settings.programs
    for name in PARTS:
        with stopped(programs, PARTS[name]):
            run(programs, name, RESTORE)
    site.in_pod("deploy/trigger", "python", "-m", "components.deploy")
    expected = site.journal.facts["before destruction"]
    if site.digest() != expected:
        raise CommandFailedError(f"{site.digest()[:12]} serves, not {expected[:12]} as before")
    with site.gateway() as address:
        return "; ".join(smoke(address))


STAGES: tuple[Stage[Site], ...] = (
    *_installs(),
    Stage("recordings", str(recordings.__doc__), recordings),
    Stage("run", str(first_run.__doc__), first_run),
    Stage("answers", str(answers.__doc__), answers),
    Stage("drift", str(drift.__doc__), drift),
    Stage("rollback", str(back.__doc__), back),
    Stage("backup", str(backup.__doc__), backup),
    Stage("destruction", str(destruction.__doc__), destruction),
    Stage("restore", str(restore.__doc__), restore),
    Stage("approval", str(approval.__doc__), approval),
    Stage("taken back", str(back.__doc__), back),
)


def _causes(site: Site) -> list[dict[str, Any]]:
    with site.settings.programs.forwarded("toolwear", "svc/trigger", 8085) as url:
        answer = httpx.get(f"{url}/runs", timeout=30, trust_env=by_proxy(url))
        answer.raise_for_status()
        return list(answer.json()["runs"])


def _new_cause(site: Site, known: set[str]) -> str | None:
    for cause in _causes(site):
        if cause["cause"] == Cause.DISTRIBUTION_CHANGE and cause["id"] not in known:
            return str(cause["id"])
    return None


def _ended(site: Site, number: str) -> dict[str, Any] | None:
    cause = next(one for one in _causes(site) if one["id"] == number)
    return cause if cause["status"] in ENDED else None


@contextmanager
def _sending(site: Site, ids: list[str]) -> Iterator[None]:
    """Send the rows of recordings through the gateway, again and again."""
    requests = [rows for one in read(site.data, ids) for rows in one.requests()]
    stop = threading.Event()

    def send(address: str) -> None:
        with httpx.Client(base_url=address, timeout=60, trust_env=by_proxy(address)) as client:
            while True:
                for rows in requests:
                    if stop.is_set():
                        return
                    with suppress(httpx.TransportError):  # the next one follows at once
                        client.post(PREDICT, json={"instances": rows})

    with site.gateway() as address:
        sender = threading.Thread(target=send, args=(address,), daemon=True)
        sender.start()
        try:
            yield
        finally:
            stop.set()
            sender.join()


@contextmanager
def _watched(site: Site) -> Iterator[list[Mapping[str, int]]]:
    """Note how the traffic is divided, each time that it changes."""
    seen: list[Mapping[str, int]] = [site.weights()]
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(2):
            now = site.weights()
            if now != seen[-1]:
                seen.append(now)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


def _moved(site: Site, before: str) -> bool | None:
    return True if site.digest() != before and _settled(site) else None


def _settled(site: Site) -> bool | None:
    """Tell that one colour has all of the traffic."""
    return True if ALL in site.weights().values() else None


def _told(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{colour} {weight} %" for colour, weight in weights.items())


def _path(seen: list[Mapping[str, int]]) -> str:
    return " -> ".join(_told(one) for one in seen)
