"""Releases a version, goes back from one, and tells who is champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolwear.common.errors import ToolwearError
from toolwear.release import agreement, audit_log, rollout, rollouts
from toolwear.release.held import AT_ONCE, no_champion
from toolwear.release.moves import (
    before,
    locked,
    move,
    moving,
    point_to,
    write_entry,
)
from toolwear.release.registry import CHAMPION, Registry, Version
from toolwear.release.rollout import Mode
from toolwear.release.served import Served, serve
from toolwear.workspace.home import Home

MODEL_NAME = "toolwear"
NOTHING = "none"  # action of a release that was done before
__all__ = [
    "ChampionMovedError",
    "MODEL_NAME",
    "NOTHING",
    "WithdrawnError",
    "champion_moved",
    "champion_state",
    "promote_version",
    "reconcile",
    "release",
    "release_locked",
    "roll_back",
]


def promote_version(registry: Registry, version: Version, why: str, cause: str) -> dict[str, Any]:
    """Make `version` the champion and the champion `previous`; return the log's entry.

    Args:
        registry: the model.
        version: is complete, and its package is whole.
        why: the reason of the decision.
        cause: why the run was started.

    Raises:
        ToolwearError: the package is gone or was changed, or the log was.
        RolloutBusyError: a rollout is under way.
    """
    return release(registry, version, Mode.DIRECT, why, cause)


class ChampionMovedError(ToolwearError):
    """The champion is another one than the version was judged against."""


class WithdrawnError(ToolwearError):
    """The version was rolled back in favour of the present champion; only a person may undo it."""


def release(
    registry: Registry,
    version: Version,
    mode: Mode,
    why: str,
    cause: str,
    judged_against: str | None = None,
) -> dict[str, Any]:
    """Promote `version`, or make it the candidate of a rollout; return the log's entry.

    Its action is `NOTHING` if that was done before. A first champion needs no rollout,
    whatever the mode: there is nothing to compare it with.

    Args:
        registry: the model.
        version: is complete, and its package is whole.
        mode: how.
        why: the reason of the decision.
        cause: why the run was started.
        judged_against: version that was champion when this one was judged, empty if none was;
            None not to look.

    Raises:
        ToolwearError: the package is gone or was changed, or the log was.
        ChampionMovedError: another version has become champion since it was judged.
        WithdrawnError: it was rolled back in favour of the present champion.
        RolloutBusyError: a rollout of another version is under way, and not undecided for long.
    """
    registry.package(version)
    with moving(registry) as champion:
        if judged_against is not None:
            moved = champion_moved(version.number, judged_against, champion)
            if moved is not None:
                raise ChampionMovedError(moved)
        return release_locked(registry, champion, version, mode, why, cause)


def release_locked(
    registry: Registry, champion: Version | None, version: Version, mode: Mode, why: str, cause: str
) -> dict[str, Any]:
    """Do what `release` does, for who holds the lock already."""
    current = champion.number if champion else None
    if current == version.number or rollouts.under_way(registry, version):
        return {"action": NOTHING, "from": current, "to": version.number}
    back = _withdrawn(registry, version, champion)
    if back is not None:
        raise WithdrawnError(
            f"Version {version.number} was rolled back in favour of version {current} before "
            f"({back['why']}); run with `--set approval=true`, and a person may allow it."
        )
    rollouts.supersede(registry, version)
    if champion is None or mode is Mode.DIRECT:
        return move(registry, audit_log.PROMOTE, champion, version, why, cause)
    return rollouts.begin(registry, champion, version, mode, why, cause)


def champion_moved(version: str, judged_against: str, champion: Version | None) -> str | None:
    """Return a sentence if the champion is another one than a version was judged against."""
    current = champion.number if champion else ""
    if current in (judged_against, version):
        return None
    told = f"version {judged_against}" if judged_against else "no champion"
    return (
        f"The champion is version {current or 'none'} by now, and version {version} was judged "
        f"against {told}; train again to have it judged against this one."
    )


def _withdrawn(
    registry: Registry, version: Version, champion: Version | None
) -> dict[str, Any] | None:
    """Return the entry by which the version was dropped for this champion, unless allowed since."""
    if champion is None:
        return None
    found = None
    for entry in audit_log.entries(registry.home):
        if entry["model"] != registry.name:
            continue
        dropped = entry["action"].endswith(audit_log.ROLLED_BACK)
        back = entry["action"] == audit_log.ROLLBACK
        if (entry["from"], entry["to"]) == (version.number, champion.number) and (
            back or (dropped and entry["why"] != rollouts.NOT_FINISHED)
        ):
            found = entry
        elif (entry["action"], entry["to"]) == (audit_log.ALLOW, version.number):
            found = None
    return found


def roll_back(
    home: Path,
    why: str,
    mlflow_uri: str = "",
    name: str = MODEL_NAME,
    by: str = "",
    served: Served | None = None,
) -> dict[str, Any]:
    """Go back from what was released last; return the log's entry.

    That is the candidate of a rollout under way: it is dropped, and the champion stays. Without
    one, the champion before this one is champion again. A second call goes back one further: it
    never brings back what was rolled back. On a cluster the earlier one gets the traffic first.

    Args:
        home: the system's folder.
        why: reason, for the log.
        mlflow_uri: registry; empty for the local one.
        name: of the registered model.
        by: who wants it; by default whoever runs this.
        served: who serves versions on a cluster; None where servers follow the champion's pointer.

    Raises:
        ToolwearError: there is nothing to go back to, or it cannot be served any more.
    """
    registry = Registry(Home.at(home), mlflow_uri, name)
    more = {"who": by} if by else {}
    if served is None:
        return _back(registry, why, None, more)
    with served.alone():
        with moving(registry) as champion:
            now = rollout.read(registry.home.root)
            earlier = None if now is not None and now.running else _earlier(registry, champion)
        if earlier is not None:
            serve(served, registry, earlier, "", AT_ONCE)
        try:
            return _back(registry, why, earlier, more)
        except ToolwearError:
            present = registry.at(CHAMPION)
            if earlier is not None and present is not None:
                serve(served, registry, present, "", AT_ONCE)
            raise


def _back(
    registry: Registry, why: str, wanted: Version | None, more: dict[str, str]
) -> dict[str, Any]:
    """Go back, to the wanted version if one is given, or not at all."""
    with moving(registry) as champion:
        ended = rollouts.stop(registry, champion, why, **more)
        if ended is not None:
            return ended
        earlier = _earlier(registry, champion)
        if wanted is not None and earlier.number != wanted.number:
            raise ToolwearError(
                f"The champion was moved meanwhile; `toolwear status` shows it. Version "
                f"{wanted.number} would not be the one before it any more."
            )
        return move(registry, audit_log.ROLLBACK, champion, earlier, why, "", **more)


def _earlier(registry: Registry, champion: Version | None) -> Version:
    earlier = before(registry)
    if champion is None:
        raise ToolwearError(no_champion(registry.home))
    if earlier is None:
        raise ToolwearError(
            f"There is no champion of {registry.name} before this one to go back to; "
            "`toolwear status` shows what there is."
        )
    registry.package(earlier)
    return earlier


def champion_state(
    home: Path, mlflow_uri: str = "", name: str = MODEL_NAME
) -> dict[str, str] | None:
    """Return name, version, since, why, package and use of the champion that is served, else None.

    What servers are told to serve counts, else what the registry says. `differs` says how the two
    differ and what mends it; it is empty if they agree.
    """
    at_home = Home.at(home)
    present = agreement.served(at_home, name)
    if present is None and not at_home.has_registry(mlflow_uri):
        return None
    registry = Registry(at_home, mlflow_uri, name)
    if present is None:
        champion = registry.at(CHAMPION)
        if champion is None:
            return None
        number, digest = champion.number, champion.package_digest
    else:
        number, digest = present.version, present.package_digest
    use, differs = agreement.use_and_faults(registry, digest)
    # A log that was changed is told of beside this; what is served does not depend on it.
    moves = audit_log.moves_of(audit_log.read(at_home).entries, name)
    last = {"when": "unknown", "why": "not on the audit log"}
    if moves and moves[-1]["to"] == number:
        last = moves[-1]
    return {
        "name": name,
        "version": number,
        "since": last["when"],
        "why": last["why"],
        "package": digest,
        "use": use,
        "differs": differs,
    }


def reconcile(
    home: Home, why: str, *, serve_registered: bool, mlflow_uri: str = "", name: str = MODEL_NAME
) -> dict[str, Any]:
    """Make registry and servers agree; return the log's entry.

    Args:
        home: the system's folder.
        why: reason, for the log.
        serve_registered: serve the registry's champion instead of keeping what is served.
        mlflow_uri: registry; empty for the local one.
        name: of the registered model.

    Raises:
        ToolwearError: they agree already, or the version cannot be served.
    """
    registry = Registry(home, mlflow_uri, name)
    with locked(home):
        if not agreement.disagreement(registry):
            raise ToolwearError("Registry and servers agree; there is nothing to reconcile.")
        present, champion = agreement.served(home, name), registry.at(CHAMPION)
        if present is None or serve_registered or agreement.only_the_pointer_differs(registry):
            if champion is None:
                raise ToolwearError(
                    "The registry has no champion to serve; leave out --serve-registered."
                )
            registry.package(champion)
            version = champion
        else:
            version = agreement.keep_served(registry, present)
        start = present.version if present else None
        entry = write_entry(registry, audit_log.RECONCILE, start, version, why, "")
        point_to(registry, version)
        return entry
