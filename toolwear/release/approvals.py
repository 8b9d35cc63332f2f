"""Promotions that wait for a person, and what the person says.

The command line, the trigger's HTTP and the console all come here. The audit log tells who decided
and why.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from toolwear.common.errors import ToolwearError
from toolwear.release import audit_log, rollouts
from toolwear.release.decisions import Outcome
from toolwear.release.held import AT_ONCE, Held, Status, read_all, write
from toolwear.release.moves import moving, write_entry
from toolwear.release.registry import CHAMPION, Registry, Version
from toolwear.release.registry_state import (
    MODEL_NAME,
    WithdrawnError,
    champion_moved,
    release_locked,
)
from toolwear.release.rollout import Mode
from toolwear.release.served import Served, serve
from toolwear.workspace.home import Home


def hold(
    registry: Registry,
    version: Version,
    judged_against: str,
    mode: Mode,
    why: str,
    cause: str,
    weights: str = AT_ONCE,
) -> dict[str, Any]:
    """Hold a promotion; return the log's entry. Holding it twice changes nothing.

    Args:
        registry: the model.
        version: its package is whole.
        judged_against: version that was champion when it was judged; empty if none was.
        mode: how it is released once allowed.
        why: the reason of the decision.
        cause: why the run was started.
        weights: percent of a cluster's traffic that it gets then, one step after the other.

    Raises:
        ToolwearError: the package is gone or was changed, or the log was.
    """
    registry.package(version)
    with moving(registry) as champion:
        entry = _open(registry, version, judged_against)
        if entry is None:
            entry = write_entry(
                registry,
                audit_log.HELD,
                champion.number if champion else None,
                version,
                why,
                cause,
                approval=f"{version.number}-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}",
                judged_against=judged_against,
            )
        write(
            registry.home,
            Held(
                id=entry["approval"],
                model=registry.name,
                version=version.number,
                package_digest=version.package_digest,
                champion=judged_against,
                mode=mode.value,
                why=why,
                cause=cause,
                since=entry["when"],
                weights=weights,
            ),
        )
        return entry


def allow(
    home: Home,
    key: str,
    why: str,
    *,
    mlflow_uri: str = "",
    name: str = MODEL_NAME,
    by: str = "",
    served: Served | None = None,
) -> dict[str, Any]:
    """Release a held version in the mode that its run asked for; return the release's entry.

    On a cluster the version gets its traffic first, step by step, and becomes champion once it has
    all of it; whatever goes wrong, it waits again and the champion serves on.

    Args:
        home: the system's folder.
        key: the approval's id, or the number of the version that waits.
        why: what the person says, for the log.
        mlflow_uri: registry; empty for the local one.
        name: of the registered model.
        by: who the person is; by default whoever runs this.
        served: who serves versions on a cluster; None where servers follow the champion's pointer.

    Raises:
        ToolwearError: it does not wait, or the champion or the package is another one than was
            judged; then it waits no longer. Or the cluster does not serve it.
        RolloutBusyError: a rollout is under way; it goes on waiting.
    """
    registry = _prepared(home, mlflow_uri, name, why)
    said = _Said(why, {"who": by} if by else {})
    if served is None:
        return _release(registry, key, said, None)
    with served.alone():
        with moving(registry) as champion:
            item, chosen = _releasable(registry, key, champion, said)
            write(home, replace(item, status=Status.RELEASING.value, said=why))
        try:
            serve(served, registry, chosen, item.cause, item.weights)
        except ToolwearError as error:
            write(home, replace(item, said=str(error)))
            raise
        try:
            # Servers have it already, all of it: it becomes champion at once.
            return _release(registry, key, said, Mode.DIRECT)
        except ToolwearError:
            back = registry.at(CHAMPION)
            if back is not None:
                serve(served, registry, back, item.cause, AT_ONCE)
            raise


def refuse(
    home: Home,
    key: str,
    why: str,
    *,
    mlflow_uri: str = "",
    name: str = MODEL_NAME,
    by: str = "",
    served: Served | None = None,
) -> dict[str, Any]:
    """Leave the champion as it is; return the log's entry. Arguments as of `allow`.

    Raises:
        ToolwearError: the version does not wait, or the cluster does not serve the champion again.
    """
    registry = _prepared(home, mlflow_uri, name, why)
    more = {"outcome": Outcome.REFUSE_BY_PERSON, **({"who": by} if by else {})}
    with served.alone() if served is not None else nullcontext():
        if served is not None:
            _take_back(served, registry, key)
        with moving(registry):
            item = _the(home, name, key)
            if _logged(registry, item, audit_log.ALLOW) is not None:
                raise ToolwearError(
                    f"Version {item.version} was allowed, and its release was cut off; allow it "
                    "again to finish it, then roll it back."
                )
            chosen = registry.version(item.version)
            return _close(registry, item, chosen, audit_log.REFUSE, Status.REFUSED, why, more)


def _take_back(served: Served, registry: Registry, key: str) -> None:
    """Serve the champion again where a release was cut off after it had got traffic, perhaps."""
    with moving(registry) as champion:
        item = _the(registry.home, registry.name, key)
    if champion is not None and item.status == Status.RELEASING:
        serve(served, registry, champion, item.cause, AT_ONCE)


@dataclass(frozen=True)
class _Said:
    why: str
    more: dict[str, str]  # for the log


def _prepared(home: Home, mlflow_uri: str, name: str, why: str) -> Registry:
    if not why.strip():
        raise ToolwearError("A decision needs a reason for the audit log; say why.")
    return Registry(home, mlflow_uri, name)


def _release(registry: Registry, key: str, said: _Said, mode: Mode | None) -> dict[str, Any]:
    """Allow and release; by default in the mode that its run asked for."""
    with moving(registry) as champion:
        item, chosen = _releasable(registry, key, champion, said)
        if _logged(registry, item, audit_log.ALLOW) is None:
            start = champion.number if champion else None
            write_entry(
                registry,
                audit_log.ALLOW,
                start,
                chosen,
                said.why,
                item.cause,
                approval=item.id,
                **said.more,
            )
        try:
            entry = release_locked(
                registry, champion, chosen, mode or Mode(item.mode), item.why, item.cause
            )
        except WithdrawnError as error:  # released, cut off before this was written, rolled back
            _outdate(registry, item, chosen, str(error), said)
            raise
        write(registry.home, replace(item, status=Status.ALLOWED.value, said=said.why))
        return entry


def _releasable(
    registry: Registry, key: str, champion: Version | None, said: _Said
) -> tuple[Held, Version]:
    """Return what waits and its version, if it still is what was judged; needs the lock."""
    item = _the(registry.home, registry.name, key)
    chosen = registry.version(item.version)
    fault = _fault(registry, item, chosen, champion)
    if fault is not None:
        _outdate(registry, item, chosen, fault, said)
        raise ToolwearError(fault)
    rollouts.under_way(registry, chosen)
    return item, chosen


def _outdate(registry: Registry, item: Held, version: Version, fault: str, said: _Said) -> None:
    _close(registry, item, version, audit_log.OUTDATED, Status.OUTDATED, fault, said.more)


def _fault(
    registry: Registry, item: Held, version: Version, champion: Version | None
) -> str | None:
    """Return why what was judged is not what would be promoted, None if it is."""
    try:
        package = registry.package(version)
    except ToolwearError as error:
        return str(error)
    if package.digest != item.package_digest:
        return (
            f"Version {item.version} has the package {package.version}, and "
            f"{item.package_digest[:12]} was judged; train again."
        )
    return champion_moved(item.version, item.champion, champion)


def _close(
    registry: Registry,
    item: Held,
    version: Version,
    action: str,
    status: Status,
    why: str,
    more: dict[str, str],
) -> dict[str, Any]:
    champion = registry.at(CHAMPION)
    start = champion.number if champion else None
    entry = _logged(registry, item, action) or write_entry(
        registry, action, start, version, why, item.cause, approval=item.id, **more
    )
    write(registry.home, replace(item, status=status.value, said=why))
    return entry


def _the(home: Home, name: str, key: str) -> Held:
    named = [
        item for item in read_all(home) if item.model == name and key in (item.id, item.version)
    ]
    found = [item for item in named if item.waits]
    if not found:
        told = f"was {named[-1].status} before" if named else "does not wait"
        raise ToolwearError(f"'{key}' of {name} {told}; `toolwear approvals` lists what waits.")
    return found[-1]


def _logged(registry: Registry, item: Held, action: str) -> dict[str, Any] | None:
    for entry in audit_log.entries(registry.home):
        if (entry["action"], entry.get("approval")) == (action, item.id):
            return entry
    return None


def _open(registry: Registry, version: Version, judged_against: str) -> dict[str, Any] | None:
    """Return the entry by which this version is held already, if nobody has decided since."""
    log = [
        entry
        for entry in audit_log.entries(registry.home)
        if entry["model"] == registry.name
        and entry["to"] == version.number
        and entry.get("approval")
    ]
    if log and log[-1]["action"] == audit_log.HELD:
        return log[-1] if log[-1]["judged_against"] == judged_against else None
    return None
