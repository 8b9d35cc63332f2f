"""Promotions that were held: a small file each, in the folder `approvals` of the home."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.workspace.home import Home

AT_ONCE = "100"  # percent of a cluster's traffic


class Status(StrEnum):
    """What has become of a held promotion."""

    WAITING = "waiting"
    RELEASING = "releasing"  # allowed, and on its way into service; it waits again if that fails
    ALLOWED = "allowed"
    REFUSED = "refused"
    OUTDATED = "outdated"  # what was judged is not what would be promoted any more


@dataclass(frozen=True)
class Held:
    """A promotion that was held.

    Attributes:
        id: names it on the audit log.
        model: name of the registered model.
        version: that would be promoted.
        package_digest: of its package.
        champion: the version that it was judged against; empty if there was none.
        mode: how it would be released, a `Mode`.
        why: the decision's reason.
        cause: of the run.
        since: when, ISO 8601.
        status: a `Status`.
        said: what the person said, what has made it outdated, or why its release failed.
        weights: percent of a cluster's traffic that it gets, one step after the other.
    """

    id: str
    model: str
    version: str
    package_digest: str
    champion: str
    mode: str
    why: str
    cause: str
    since: str
    status: str = Status.WAITING.value
    said: str = ""
    weights: str = AT_ONCE

    @property
    def waits(self) -> bool:
        """Whether a person has to decide."""
        return self.status in (Status.WAITING, Status.RELEASING)


def read_all(home: Home) -> list[Held]:
    """Return all that were ever held, the oldest first."""
    found = [_read(path) for path in home.approvals.glob("*.json")]
    return sorted((item for item in found if item is not None), key=lambda item: item.id)


def waiting(home: Home) -> list[Held]:
    """Return those that wait for a person, the oldest first."""
    return [item for item in read_all(home) if item.waits]


def no_champion(home: Home) -> str:
    """Return in one sentence why nothing can be served, and what to do, where no champion is."""
    held = waiting(home)
    if not held:
        return f"There is no champion in {home.root} yet; train one: toolwear run."
    version = held[-1].version
    return (
        f"There is no champion in {home.root} yet: version {version} is held for approval. "
        f'`toolwear approvals` shows it, and `toolwear allow {version} --why "..."` releases it.'
    )


def _path(home: Home, name: str, version: str) -> Path:
    return home.approvals / f"{name}-{version}.json"


def write(home: Home, item: Held) -> None:
    """Write one down: whoever reads sees the old one or the new."""
    jsonfile.write(_path(home, item.model, item.version), asdict(item))


def _read(path: Path) -> Held | None:
    try:
        value = jsonfile.read(path)
        known = {"weights": AT_ONCE} | value  # which was not always written
        return Held(**{item.name: str(known[item.name]) for item in fields(Held)})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise ToolwearError(f"{path} is broken; remove it and train again.") from None
