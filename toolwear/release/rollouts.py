"""One rollout at a time: begun, moved on from stage to stage, decided, and settled.

The audit log is written first, the state last, each atomically and under the lock on promotions.
Whatever is cut off in between is done again from the state by whoever comes next, and what is on
the log already is not put there twice: a kill at any point costs no move and makes none twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from toolwear.common.errors import ToolwearError
from toolwear.common.person import who
from toolwear.common.thresholds import Rollout as Limits
from toolwear.common.thresholds import thresholds
from toolwear.release import audit_log
from toolwear.release import champion as pointer
from toolwear.release import rollout as state
from toolwear.release.agreement import cut_off
from toolwear.release.moves import (
    forget_candidate,
    locked,
    move,
    moving,
    point_to,
    write_entry,
)
from toolwear.release.registry import CANDIDATE, Registry, Version
from toolwear.release.rollout import Mode, Result, Rollout, Verdict
from toolwear.workspace.home import Home

NOT_FINISHED = "its start was cut off"


class RolloutBusyError(ToolwearError):
    """A rollout of another version is under way, and there is one at a time."""


def under_way(registry: Registry, version: Version) -> bool:
    """Tell whether this version's rollout is under way.

    Raises:
        RolloutBusyError: another one's is, and it is not undecided for so long that this version
            may take its place.
    """
    now = state.read(registry.home.root)
    if now is None or not now.running:
        return False
    if (now.model, now.version) == (registry.name, version.number):
        return True
    if now.verdict or now.model != registry.name:
        raise RolloutBusyError(
            f"A rollout of version {now.version} of {now.model} is under way; try again once it "
            "has ended."
        )
    if datetime.now(UTC) < now.replaceable:
        raise RolloutBusyError(
            f"A rollout of version {now.version} of {now.model} is under way. If it is still "
            f"undecided at {now.replaceable:%Y-%m-%d %H:%M} UTC, a later winner takes its place; "
            "`toolwear rollback` ends it sooner."
        )
    return False


def supersede(registry: Registry, version: Version) -> None:
    """End the rollout whose place `version` takes, if there is one; needs the lock.

    Nothing speaks against the candidate that was not decided on: it may be released again.
    """
    now = state.read(registry.home.root)
    if now is None or not now.running:
        return
    hours = (datetime.now(UTC) - datetime.fromisoformat(now.started)).total_seconds() / 3600
    reason = f"It was undecided for {hours:.1f} hours; version {version.number} takes its place."
    _drop(registry, now, reason, audit_log.SUPERSEDED)
    _end(registry.home, now, Result.SUPERSEDED, reason)


def begin(
    registry: Registry,
    champion: Version,
    version: Version,
    mode: Mode,
    why: str,
    cause: str,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Make `version` the candidate; needs the lock, and that no rollout is under way.

    Args:
        registry: the model.
        champion: what it is compared with; stays champion.
        version: its package is whole.
        mode: CANARY or SHADOW.
        why: the reason of the decision.
        cause: why the run was started.
        limits: by default those of the reviewed file.
    """
    limits = limits or thresholds().rollout
    entry = _begun(registry, version, mode)
    if entry is None:
        entry = write_entry(
            registry,
            mode + audit_log.START,
            champion.number,
            version,
            why,
            cause,
            rollout=f"{version.number}-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}",
        )
    registry.move(CANDIDATE, version)
    point_to(registry, version, CANDIDATE)
    state.write(
        registry.home.root,
        Rollout(
            id=entry["rollout"],
            model=registry.name,
            mode=mode.value,
            version=version.number,
            package_digest=version.package_digest,
            champion=champion.number,
            why=why,
            cause=cause,
            started=entry["when"],
            stage=0,
            since=_now(),
            weights=state.weights(mode, limits.stages[0]),
            thresholds=limits.model_dump(),
        ),
    )
    return entry


def advance(home: Home, rollout: Rollout, found: Mapping[str, Any]) -> bool:
    """Give the candidate the next stage's part of the traffic; return whether that was done.

    Args:
        home: the system's folder.
        rollout: as it was when it was judged; if it has moved on since, nothing is done.
        found: figures of the stage that is over.
    """
    with locked(home):
        now = state.read(home.root)
        if now is None or not now.running or now.verdict or _place(now) != _place(rollout):
            return False
        stage = now.stage + 1
        weights = state.weights(now.mode, now.thresholds["stages"][stage])
        if not _logged(home, now, audit_log.STAGE, stage=stage):
            audit_log.append(
                home,
                **_entry(now, audit_log.STAGE, f"stage {now.stage} passed"),
                stage=stage,
                weights=weights,
            )
        state.write(
            home.root,
            replace(
                now,
                stage=stage,
                since=_now(),
                weights=weights,
                history=[*now.history, _chapter(now, found)],
            ),
        )
        return True


def decide(
    home: Home, rollout: Rollout, verdict: Verdict, reason: str, found: Mapping[str, Any]
) -> bool:
    """Write the verdict down, for `settle` to carry out; return whether it stands.

    Args:
        home: the system's folder.
        rollout: as it was when it was judged.
        verdict: what to do.
        reason: one sentence.
        found: figures of the last stage.
    """
    with locked(home):
        now = state.read(home.root)
        if now is None or not now.running or now.verdict or _place(now) != _place(rollout):
            return False
        state.write(
            home.root,
            replace(
                now,
                verdict=verdict.value,
                reason=reason,
                # From now on the champion answers alone, unless the candidate is taking over.
                weights=now.weights if verdict is Verdict.PROMOTE else state.weights(now.mode, 0),
                history=[*now.history, _chapter(now, found)],
            ),
        )
        return True


def settle(home: Home, mlflow_uri: str = "") -> Rollout | None:
    """Carry the verdict out, once however often this is called; return the rollout.

    Also mends a move whose process was killed half-way.

    Raises:
        ToolwearError: the log was changed.
    """
    now = state.read(home.root)
    if now is None or not now.running or not now.verdict:
        cut_off = _cut_off_move(home)
        if cut_off is not None:
            with moving(Registry(home, mlflow_uri, cut_off), by_registry=True):
                pass  # which mends it
        return now
    registry = Registry(home, mlflow_uri, now.model)
    with moving(registry, by_registry=True) as champion:
        now = state.read(home.root)
        if now is None or not now.running:
            return now
        current = champion.number if champion else None
        against = _against(registry, now, current)
        if now.verdict == Verdict.PROMOTE and against is None:
            if current != now.version:
                version = registry.version(now.version)
                why = f"{now.why} {now.reason}"
                move(registry, audit_log.PROMOTE, champion, version, why, now.cause, rollout=now.id)
            forget_candidate(registry)
            return _end(home, now, Result.PROMOTED, now.reason)
        reason = against or now.reason
        _drop(registry, now, reason)
        return _end(home, now, Result.ROLLED_BACK, reason)


def unsettled(home: Home) -> bool:
    """Tell whether `settle` has something to do, without asking the registry.

    Raises:
        ToolwearError: the log was changed.
    """
    now = state.read(home.root)
    decided = now is not None and now.running and now.verdict != ""
    return decided or _cut_off_move(home) is not None


def _cut_off_move(home: Home) -> str | None:
    """Return the model whose last move the servers were not told of."""
    moves = [e for e in audit_log.entries(home) if e["action"] in audit_log.MOVES]
    try:
        pointed = pointer.read(home.root)
    except ToolwearError:
        pointed = None
    return str(moves[-1]["model"]) if cut_off(moves, pointed) else None


def stop(
    registry: Registry, champion: Version | None, why: str, **more: Any
) -> dict[str, Any] | None:
    """Drop the candidate because a person wants it; needs the lock. None without a rollout."""
    now = state.read(registry.home.root)
    if now is None or not now.running or now.model != registry.name:
        return None
    if champion is not None and champion.number == now.version:
        # It had become champion, and whoever did it was killed before the end.
        forget_candidate(registry)
        _end(registry.home, now, Result.PROMOTED, now.reason)
        return None
    entry = _drop(registry, now, why, **more)
    _end(registry.home, now, Result.ROLLED_BACK, why)
    return entry


def _against(registry: Registry, now: Rollout, current: str | None) -> str | None:
    """Return what speaks against a promotion that was decided, None if nothing does."""
    if current not in (now.champion, now.version):
        return (
            f"The champion is version {current} by now, and version {now.version} was compared "
            f"with version {now.champion}."
        )
    try:
        registry.package(registry.version(now.version))
    except ToolwearError as error:
        return str(error)
    return None


def _drop(
    registry: Registry, now: Rollout, reason: str, action: str = audit_log.ROLLED_BACK, **more: Any
) -> dict[str, Any]:
    entry = _logged(registry.home, now, action)
    if entry is None:
        entry = audit_log.append(registry.home, **(_entry(now, action, reason, back=True) | more))
    forget_candidate(registry)
    return entry


def _end(home: Home, now: Rollout, result: Result, reason: str) -> Rollout:
    ended = replace(
        now,
        result=result.value,
        reason=reason,
        ended=_now(),
        weights=state.weights(now.mode, 0),
    )
    state.write(home.root, ended)
    return ended


def _begun(registry: Registry, version: Version, mode: Mode) -> dict[str, Any] | None:
    """Return the entry of a start of this rollout that was cut off; end that of any other."""
    log = [
        entry
        for entry in audit_log.entries(registry.home)
        if entry["model"] == registry.name and entry.get("rollout")
    ]
    last = state.read(registry.home.root)
    started = [entry for entry in log if entry["action"].endswith(audit_log.START)]
    if not started or (last is not None and last.id == started[-1]["rollout"]):
        return None
    if any(entry["rollout"] == started[-1]["rollout"] for entry in log if entry is not started[-1]):
        return None
    entry = started[-1]
    if (entry["to"], entry["action"]) == (version.number, mode + audit_log.START):
        return entry
    told = entry["action"].removesuffix(audit_log.START) + audit_log.ROLLED_BACK
    audit_log.append(
        registry.home,
        **{key: entry[key] for key in ("model", "cause", "package", "rollout")},
        **{"from": entry["to"], "to": entry["from"]},
        action=told,
        why=NOT_FINISHED,
        who=who(),
    )
    return None


def _entry(now: Rollout, action: str, why: str, *, back: bool = False) -> dict[str, Any]:
    way = (now.version, now.champion) if back else (now.champion, now.version)
    return {
        "who": who(),
        "why": why,
        "cause": now.cause,
        "action": now.mode + action,
        "model": now.model,
        "from": way[0],
        "to": way[1],
        "package": now.package_digest,
        "rollout": now.id,
    }


def _logged(home: Home, now: Rollout, action: str, **fields: Any) -> dict[str, Any] | None:
    wanted = {"rollout": now.id, "action": now.mode + action, **fields}
    for entry in audit_log.entries(home):
        if all(entry.get(key) == value for key, value in wanted.items()):
            return entry
    return None


def _chapter(now: Rollout, found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "stage": now.stage,
        "weights": dict(now.weights),
        "since": now.since,
        "until": _now(),
        "found": dict(found),
    }


def _place(rollout: Rollout) -> tuple[str, int]:
    return rollout.id, rollout.stage


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
