"""Moves the champion and tells who it is. Every move is on the audit log before it happens."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.core.errors import ToolwearError
from components.core.home import Home
from components.core.lock import exclusive
from components.core.registry import CHAMPION, PREVIOUS, Registry, Version
from components.promote import audit_log
from serving.common import champion as pointer

MODEL_NAME = "toolwear"


def promote_version(registry: Registry, version: Version, why: str, cause: str) -> dict[str, Any]:
    """Make `version` the champion and the champion `previous`; return the log's entry.

    Args:
        registry: the model.
        version: is complete, and its package is whole.
        why: the reason of the decision.
        cause: why the run was started.

    Raises:
        ToolwearError: the package is gone or was changed, or the log was.
    """
    registry.package(version)
    with _moving(registry) as champion:
        if champion is not None and champion.number == version.number:
            _point_to(registry, champion)
            return {"action": "none", "from": champion.number, "to": version.number}
        return _move(registry, audit_log.PROMOTE, champion, version, why, cause)


def roll_back(home: Path, why: str, mlflow_uri: str = "", name: str = MODEL_NAME) -> dict[str, Any]:
    """Make the champion before this one the champion again; return the log's entry.

    A second rollback goes back one further: it never brings back what was rolled back.

    Args:
        home: the system's folder.
        why: reason, for the log.
        mlflow_uri: registry; empty for the local one.
        name: of the registered model.

    Raises:
        ToolwearError: there is nothing to go back to, or it cannot be served any more.
    """
    registry = Registry(Home.at(home), mlflow_uri, name)
    with _moving(registry) as champion:
        before = _before(registry)
        if champion is None or before is None:
            raise ToolwearError(
                f"There is no champion of {name} before this one to go back to; "
                "`toolwear status` shows what there is."
            )
        registry.package(before)
        return _move(registry, audit_log.ROLLBACK, champion, before, why, "")


def champion_state(
    home: Path, mlflow_uri: str = "", name: str = MODEL_NAME
) -> dict[str, str] | None:
    """Return name, version, since, why, sha256 and use of the champion, None if there is none."""
    at_home = Home.at(home)
    if not mlflow_uri and not at_home.root.joinpath("mlflow.db").exists():
        return None
    registry = Registry(at_home, mlflow_uri, name)
    champion = registry.at(CHAMPION)
    if champion is None:
        return None
    moves = moves_of(audit_log.entries(at_home.audit_log), name)
    last = {"when": "unknown", "why": "not on the audit log"}
    if moves and moves[-1]["to"] == champion.number:
        last = moves[-1]
    description = registry.package(champion).description
    return {
        "name": name,
        "version": champion.number,
        "since": last["when"],
        "why": last["why"],
        "sha256": champion.package_digest,
        "use": description["use"],
    }


@contextmanager
def _moving(registry: Registry) -> Iterator[Version | None]:
    """Hold the lock on promotions; first mend the log if the last move was cut off."""
    with exclusive(registry.home.lock("promote"), "moving the champion"):
        champion = registry.at(CHAMPION)
        log = _log_of(registry)
        logged = log[-1]["to"] if log else None
        actual = champion.number if champion else None
        if logged != actual:
            _write(
                registry,
                audit_log.FOUND,
                logged,
                champion,
                "the registry says otherwise than the log: a move was cut off, or the alias was "
                "moved by other means",
                "",
            )
        yield champion


def _move(
    registry: Registry,
    action: str,
    champion: Version | None,
    version: Version,
    why: str,
    cause: str,
) -> dict[str, Any]:
    entry = _write(registry, action, champion.number if champion else None, version, why, cause)
    registry.move(CHAMPION, version)
    registry.move(PREVIOUS, _before(registry))
    _point_to(registry, version)
    return entry


def _point_to(registry: Registry, version: Version) -> None:
    """Tell running servers; a move that was cut off before it is mended by the next one."""
    package = registry.package(version)
    log = _log_of(registry)
    pointer.write(
        registry.home.root,
        pointer.Champion(
            name=registry.name,
            version=version.number,
            package_digest=package.digest,
            package=package.folder.relative_to(registry.home.root).as_posix(),
            model_sha256=package.model_sha256,
            since=log[-1]["when"],
        ),
    )


def _write(
    registry: Registry, action: str, start: str | None, end: Version | None, why: str, cause: str
) -> dict[str, Any]:
    return audit_log.append(
        registry.home.audit_log,
        who=who(),
        why=why,
        cause=cause,
        action=action,
        model=registry.name,
        **{"from": start},
        to=end.number if end else None,
        package=end.package_digest if end else None,
    )


def _before(registry: Registry) -> Version | None:
    stack = audit_log.champions(_log_of(registry))
    known = [entry["to"] for entry in stack if entry["to"] is not None]
    return registry.version(known[-2]) if len(known) > 1 else None


def _log_of(registry: Registry) -> list[dict[str, Any]]:
    return moves_of(audit_log.entries(registry.home.audit_log), registry.name)


def moves_of(log: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return the entries of a log that moved the champion of this model."""
    return [item for item in log if item["model"] == name and item["action"] in audit_log.MOVES]


def who() -> str:
    """Return who is at work, for the log: user and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unnamed"
    return f"{user}@{socket.gethostname()}"
