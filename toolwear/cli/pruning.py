"""Removes what a home holds beyond its budgets, and nothing that somebody needs."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from serving.console import evidence
from serving.trigger.store import of_ended
from toolwear.common.errors import ToolwearError
from toolwear.common.files import TEXT_BYTES, read_regular
from toolwear.common.lock import exclusive
from toolwear.common.states import State
from toolwear.common.thresholds import Disk
from toolwear.features.names import SAMPLES_FOLDER
from toolwear.features.store import CURRENT, HOME_FOLDER
from toolwear.release import audit_log, entries, needed, room
from toolwear.release.moves import locked
from toolwear.release.registry import PACKAGE, PRUNED, Registry
from toolwear.release.registry_state import MODEL_NAME
from toolwear.release.room import Kind, Part
from toolwear.run import run_folder
from toolwear.run.scoring import queue
from toolwear.workspace.home import MLFLOW_VARIABLE, Home
from toolwear.workspace.moved import follow

_DAY, _HOUR = 86_400, 3600
_FINISHED = ".parquet"  # of the payload log's files
_LEFT = ".pruned-"  # of a folder that is being removed
# That of a run is counted with the run.
_LEFT_IN = ("packages", "mlflow/*", "mlflow/models/*", "trigger/scoring/runs")
_CACHES = ".cache*/*.json"  # Kubeflow Pipelines' entries, which name artifacts by their paths
_UNDECIDED = "it was made within the last hour, and its run may not have decided yet"
_UNENDED = "no job is known that has ended and to which it belongs"
_AT_WORK = "a run is at work that may have taken steps from it"


@dataclass
class Plan:
    """What is to be done about a kind.

    Attributes:
        used: what there is.
        gone: what is removed, or would be.
        kept: what stays though it is over the budget, by name, and why.
    """

    used: room.Used
    gone: list[Part]
    kept: dict[str, str]

    @property
    def freed(self) -> int:
        """Bytes that are freed, or would be."""
        return sum(part.bytes for part in self.gone)

    def told(self) -> dict[str, Any]:
        """Return it as JSON values."""
        now, budget = time.time(), self.used.budget
        return {
            "bytes": self.used.bytes,
            "budget": budget.model_dump(),
            "freed_bytes": self.freed,
            "left_bytes": self.used.bytes - self.freed,
            "removed": [
                {
                    "name": part.name,
                    "bytes": part.bytes,
                    "days": round((now - part.at) / _DAY, 1),
                }
                for part in self.gone
            ],
            "needed": self.kept,
        }


def prune(home: Home, budgets: Disk, console: Console, *, dry_run: bool) -> list[Plan]:
    """Make room, and return what was done of each kind; servers may go on meanwhile.

    Args:
        home: the system's folder.
        budgets: what there may be of each kind.
        console: for progress.
        dry_run: only tell what would be done.

    Raises:
        LogChangedError: the audit log was changed, so that it can't be told what is needed.
        ToolwearError: something can't be read or removed, or another one of us is at it.
    """
    follow(home)  # what the registry names lies here
    audit_log.entries(home)  # what was changed says nothing of what is needed
    if dry_run:
        with console.status("looking"):
            return [_planned(home, kind, budgets) for kind in Kind]
    done: list[Plan] = []
    with exclusive(home.lock("prune"), "pruning this home", seconds=1.0):
        for folder in _LEFT_IN:
            for left in home.root.glob(f"{folder}/{_LEFT}*"):
                _remove(left)
        try:
            # Packages last: their mark in the registry needs room itself.
            for kind in sorted(Kind, key=lambda kind: kind is Kind.PACKAGES):
                with console.status(f"making room: {kind}"), _still(home, kind):
                    done.append(_planned(home, kind, budgets))
                    _take(home, done[-1])
        finally:
            # Not before: on a disk that is full it could not be written.
            _note(home, done)
    return sorted(done, key=lambda plan: list(Kind).index(plan.used.kind))


@contextmanager
def _still(home: Home, kind: Kind) -> Iterator[None]:
    """Keep packages from being registered or moved meanwhile."""
    if kind is not Kind.PACKAGES:
        yield
        return
    with exclusive(home.lock("register"), "registering a model"), locked(home):
        yield


def _planned(home: Home, kind: Kind, budgets: Disk) -> Plan:
    found, budget, now = room.parts(home, kind), room.budget(kind, budgets), time.time()
    total = sum(part.bytes for part in found)
    oldest = now - budget.days * _DAY if budget.days is not None else 0.0
    plan = Plan(room.Used(kind, total, budget), [], {})
    if total <= budget.bytes and all(part.at >= oldest for part in found):
        return plan
    stays = _stays(home, kind, found)
    for part in found:
        if part.at >= oldest and total <= budget.bytes:
            break
        if part.name in stays:
            plan.kept[part.name] = stays[part.name]
            continue
        plan.gone.append(part)
        total -= part.bytes
    return plan


def _stays(home: Home, kind: Kind, found: Sequence[Part]) -> Mapping[str, str]:
    """Return the names of what may not be taken, and why."""
    if kind is Kind.PAYLOADS:
        return {
            part.name: "it is being written" for part in found if not part.name.endswith(_FINISHED)
        }
    if kind is Kind.VERDICTS:
        ended = of_ended(queue(home))
        return {part.name: _UNENDED for part in found if part.name not in ended}
    if kind is not Kind.PACKAGES:
        return _runs_needed(home)
    young = {part.name: _UNDECIDED for part in found if time.time() - part.at < _HOUR}
    return young | _registered(home) | needed.packages(home)


def _registered(home: Home) -> dict[str, str]:
    registry = _registry(home)
    return needed.registered(registry) if registry else {}


def _registry(home: Home) -> Registry | None:
    address = os.environ.get(MLFLOW_VARIABLE, "")
    return Registry(home, address, MODEL_NAME) if home.has_registry(address) else None


def _runs_needed(home: Home) -> dict[str, str]:
    """Return the runs that somebody needs, also those whose steps were taken from the cache."""
    wanted = {
        digest: why for digest, why in needed.packages(home).items() if why != needed.ROLLBACK
    }
    wanted.setdefault(needed.before(home), needed.ROLLBACK)
    found, all_of_them = {}, evidence.runs(home)
    for run in all_of_them:  # the newest first: it is the one that pages show
        summary = run.summary
        package = summary["model"]["package"] if summary else ""
        if run.state is State.RUNNING:
            found[run] = "it is at work"
        elif package and package in wanted:
            found[run] = wanted.pop(package)
    latest = evidence.latest(home)
    if latest is not None:
        found[latest] = "it is the latest"
    names = dict.fromkeys(evidence.left_out(home), "it can't be read, so nor who needs it")
    names |= {run.name: why for run, why in found.items()}
    samples = (home.root / HOME_FOLDER / CURRENT / SAMPLES_FOLDER).resolve()
    if samples.is_relative_to(home.root):
        names.setdefault(
            samples.relative_to(home.root).parts[0], "the published features lie in it"
        )
    for run in found:
        for step in (run.summary or {}).get("cached", []):
            made = evidence.artifact(home, run, step, "*", all_of_them)
            if made is not None:
                name = made.relative_to(home.root).parts[0]
                names.setdefault(name, f"{run.name} has taken steps from it")
    if _is_at_work(home):
        names = dict.fromkeys(_cached(home), _AT_WORK) | names
    return names


def _is_at_work(home: Home) -> bool:
    folders = run_folder.folders(home.root)
    return any(run_folder.ending(folder).state is State.RUNNING for folder in folders)


def _cached(home: Home) -> dict[str, list[Path]]:
    """Return the runs whose artifacts the cache gives to later runs, each with its entries."""
    found: dict[str, list[Path]] = {}
    names = [folder.name for folder in run_folder.folders(home.root)]
    for entry in home.root.glob(_CACHES):
        with suppress(OSError, ToolwearError):
            text = read_regular(entry, TEXT_BYTES).decode(errors="replace")
            for name in names:
                if f"/{name}/" in text:
                    found.setdefault(name, []).append(entry)
    return found


def _take(home: Home, plan: Plan) -> None:
    """Remove what a plan says; leave in it what was removed."""
    wanted, plan.gone = plan.gone, []
    if not wanted:
        return
    cached: set[str] = set()
    if plan.used.kind is Kind.RUNS:
        entries_of = _cached(home)
        cached = {part.name for part in wanted if part.name in entries_of}
        for name in cached:
            for entry in entries_of[name]:
                entry.unlink(missing_ok=True)
        # A run that has begun since may have found an entry; one that begins now finds none.
        if not _is_at_work(home):
            cached = set()
    if plan.used.kind is Kind.PACKAGES:
        _mark(home, wanted)
    for part in wanted:
        if part.name in cached:
            plan.kept[part.name] = _AT_WORK
            continue
        for path in part.paths:
            _remove(path)
        plan.gone.append(part)


def _mark(home: Home, packages: Sequence[Part]) -> None:
    """Say on their versions that the files are gone on purpose."""
    registry = _registry(home)
    if registry is None:
        return
    when = datetime.now(UTC).isoformat(timespec="seconds")
    for part in packages:
        for version in registry.client.search_model_versions(f"tags.`{PACKAGE}` = '{part.name}'"):
            registry.client.set_model_version_tag(version.name, version.version, PRUNED, when)


def _remove(path: Path) -> None:
    """Remove a file or a folder, all of it at once for whoever looks; nothing behind a link.

    Raises:
        ToolwearError: it can't be removed.
    """
    if path.parent.resolve() != path.parent:
        return
    try:
        if path.is_dir() and not path.is_symlink():
            aside = path.with_name(f"{_LEFT}{secrets.token_hex(8)}")
            path.rename(aside)
            shutil.rmtree(aside)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ToolwearError(
            f"{path} can't be removed ({error.strerror}); see whose it is, then call it again."
        ) from None


def _note(home: Home, plans: Sequence[Plan]) -> None:
    told = [_counted(plan) for plan in plans if plan.gone]
    if told:
        why = f"beyond the budget: {'; '.join(told)}"
        entries.note(home, audit_log.PRUNE, model="", why=why, cause="", data="")


def _counted(plan: Plan) -> str:
    names = [room.shown(part.name) for part in plan.gone if plan.used.kind is Kind.PACKAGES]
    listed = f": {', '.join(names)}" if names else ""
    count = len(plan.gone)
    kind = plan.used.kind.value if count > 1 else plan.used.kind.value.removesuffix("s")
    first = plan.gone[0]
    since = datetime.fromtimestamp(first.at, UTC).date()
    return f"{count} {kind} of {since} on ({room.size(plan.freed)}){listed}"
