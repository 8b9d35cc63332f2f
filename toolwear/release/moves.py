"""Moves of the champion under one lock. Every move is on the audit log before it happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from toolwear.common.errors import ToolwearError
from toolwear.common.lock import exclusive
from toolwear.common.person import who
from toolwear.release import agreement, audit_log
from toolwear.release import champion as pointer
from toolwear.release.registry import CANDIDATE, CHAMPION, PREVIOUS, Registry, Version
from toolwear.workspace.home import Home

LOCK = "promote"


@contextmanager
def locked(home: Home) -> Iterator[None]:
    """Hold the lock on promotions, rollouts and approvals."""
    with exclusive(home.lock(LOCK), "moving the champion"):
        yield


@contextmanager
def moving(registry: Registry, *, by_registry: bool = False) -> Iterator[Version | None]:
    """Hold the lock on promotions; first mend what a move that was cut off has left.

    Args:
        registry: the model.
        by_registry: go by the registry even if it was changed by other means.

    Raises:
        ToolwearError: it was; the sentence says how, and what mends it.
    """
    with locked(registry.home):
        fault = "" if by_registry else agreement.changed_by_hand(registry)
        if fault:
            raise ToolwearError(fault)
        champion = registry.at(CHAMPION)
        log = log_of(registry)
        logged = log[-1]["to"] if log else None
        actual = champion.number if champion else None
        if logged != actual:
            write_entry(
                registry,
                audit_log.FOUND,
                logged,
                champion,
                "the registry says otherwise than the log: a move was cut off, or the alias was "
                "moved by other means",
                "",
            )
        if champion is not None:
            _mend_pointer(registry, champion)
        yield champion


def move(
    registry: Registry,
    action: str,
    champion: Version | None,
    version: Version,
    why: str,
    cause: str,
    **more: Any,
) -> dict[str, Any]:
    """Make `version` the champion; needs the lock. `more` goes on the log's entry."""
    start = champion.number if champion else None
    entry = write_entry(registry, action, start, version, why, cause, **more)
    registry.move(CHAMPION, version)
    registry.move(PREVIOUS, before(registry))
    point_to(registry, version)
    return entry


def _mend_pointer(registry: Registry, champion: Version) -> None:
    """Do the end of a move whose process was killed before it told the servers."""
    try:
        pointed = pointer.read(registry.home.root)
    except ToolwearError:  # a broken file is written anew
        pointed = None
    if pointed is not None and (
        pointed.name != registry.name
        or (pointed.version, pointed.package_digest, pointed.package)
        == (champion.number, champion.package_digest, f"packages/{champion.package_digest}")
    ):
        return
    registry.move(PREVIOUS, before(registry))
    # A champion whose package is gone cannot be served; going back from it has to be possible.
    with suppress(ToolwearError):
        point_to(registry, champion)


def point_to(registry: Registry, version: Version, track: str = CHAMPION) -> None:
    """Tell running servers.

    Args:
        registry: the model.
        version: to serve.
        track: CHAMPION or CANDIDATE.
    """
    package = registry.package(version)
    log = log_of(registry)
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
        track,
    )


def forget_candidate(registry: Registry) -> None:
    """Take the alias and the pointer of the candidate away."""
    registry.move(CANDIDATE, None)
    pointer.path(registry.home.root, CANDIDATE).unlink(missing_ok=True)


def write_entry(
    registry: Registry,
    action: str,
    start: str | None,
    end: Version | None,
    why: str,
    cause: str,
    **more: Any,
) -> dict[str, Any]:
    """Put a move or an outcome on the audit log; needs the lock. `more` may name another `who`."""
    return audit_log.append(
        registry.home,
        **(
            {
                "who": who(),
                "why": why,
                "cause": cause,
                "action": action,
                "model": registry.name,
                "from": start,
                "to": end.number if end else None,
                "package": end.package_digest if end else None,
            }
            | more
        ),
    )


def before(registry: Registry) -> Version | None:
    """Return the champion before this one that is still worth going back to."""
    stack = audit_log.champions(log_of(registry))
    known = [entry["to"] for entry in stack if entry["to"] is not None]
    return registry.version(known[-2]) if len(known) > 1 else None


def log_of(registry: Registry) -> list[dict[str, Any]]:
    """Return the entries that moved the champion of this model."""
    return audit_log.moves_of(audit_log.entries(registry.home), registry.name)
