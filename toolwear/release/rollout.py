"""The rollout under way: a small file that promotion writes and the front follows.

A candidate stands beside the champion until the rollout ends; the champion moves at its end only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError

WHOLE = 100  # per cent
STABLE, CANDIDATE, SHADOW = "stable", "candidate", "shadow"  # tracks; shadow: copies


class Mode(StrEnum):
    """How a winner becomes champion."""

    DIRECT = "direct"
    CANARY = "canary"  # by growing parts of the traffic
    SHADOW = "shadow"  # after copies of the traffic, whose answers nobody gets


class Verdict(StrEnum):
    """What has been decided, before it is done."""

    PROMOTE = "promote"
    DROP = "drop"


class Result(StrEnum):
    """How a rollout ended."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"  # undecided for long, and a later winner took its place


@dataclass(frozen=True)
class Rollout:
    """One rollout.

    Attributes:
        id: names it on the audit log.
        model: name of the registered model.
        mode: "canary" or "shadow".
        version: of the candidate.
        package_digest: of the candidate's package.
        champion: the version that it is compared with.
        why: the decision's reason.
        cause: of the run.
        started: when, ISO 8601.
        stage: number of the stage, from 0.
        since: when the stage began, ISO 8601.
        weights: per cent of the traffic by track.
        thresholds: the section `rollout` as it was at the start.
        verdict: a `Verdict` once decided, else empty.
        reason: of the verdict.
        result: a `Result` once ended, else empty.
        ended: when, ISO 8601.
        history: what was found in each stage that is over.
    """

    id: str
    model: str
    mode: str
    version: str
    package_digest: str
    champion: str
    why: str
    cause: str
    started: str
    stage: int
    since: str
    weights: Mapping[str, int]
    thresholds: Mapping[str, Any]
    verdict: str = ""
    reason: str = ""
    result: str = ""
    ended: str = ""
    history: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self.result

    @property
    def replaceable(self) -> datetime:
        """From when on a later winner takes its place, if it is still undecided."""
        patience = timedelta(seconds=self.thresholds["undecided_seconds"])
        return datetime.fromisoformat(self.started) + patience


def path(home: Path) -> Path:
    """Return where the file is."""
    return home / "rollout.json"


def write(home: Path, rollout: Rollout) -> None:
    """Write the state: whoever reads sees the old one or the new one."""
    jsonfile.write(path(home), asdict(rollout))


def read(home: Path) -> Rollout | None:
    """Return the latest rollout, under way or ended; None if there has never been one.

    Raises:
        ToolwearError: the file is broken.
    """
    try:
        value = jsonfile.read(path(home))
        return Rollout(**{item.name: value[item.name] for item in fields(Rollout)})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise ToolwearError(
            f"{path(home)} is broken; remove it, which ends the rollout, and start another."
        ) from None


def weights(mode: str, percent: int) -> dict[str, int]:
    """Return the weights of a stage: in shadow mode the champion answers everything."""
    share = percent if mode == Mode.CANARY else 0
    return {STABLE: WHOLE - share, CANDIDATE: share}
