"""What has been seen of both tracks. Kept in a file, so that a restart loses little."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from serving.front.recordings import Part, Recording
from toolwear.common import jsonfile
from toolwear.release.rollout import CANDIDATE, STABLE, Rollout

# Upper edges, in milliseconds, a tenth apart: 0.5 ms to 80 s.
EDGES = tuple(0.5 * 1.1**n for n in range(127))


@dataclass
class Seen:
    """What has been seen of a track.

    Attributes:
        requests: that it was given.
        failures: of these, not answered, or refused although the other track answers them.
        slowness: how many answers took how long, by EDGES, longer ones last.
    """

    requests: int = 0
    failures: int = 0
    slowness: list[int] = field(default_factory=lambda: [0] * (len(EDGES) + 1))

    def add(self, seconds: float, *, failed: bool) -> None:
        """Count a request."""
        self.requests += 1
        self.failures += failed
        if not failed:
            self.slowness[bisect_left(EDGES, seconds * 1000)] += 1

    @property
    def answered(self) -> int:
        """How many were answered."""
        return sum(self.slowness)

    def quantile_ms(self, share: float) -> float:
        """Return the edge below which this share of the answers lies, in milliseconds."""
        wanted, count = share * self.answered, 0
        for edge, here in zip(EDGES, self.slowness, strict=False):
            count += here
            if count >= wanted:
                return edge
        return EDGES[-1]

    def slower_than(self, milliseconds: float) -> int:
        """Return how many answers certainly took longer."""
        first = bisect_left(EDGES, milliseconds) + 1
        return sum(self.slowness[first:])


@dataclass
class Evidence:
    """What has been seen of one rollout.

    Attributes:
        rollout: its id.
        stage: its number.
        tracks: requests of the stage by track: what they show of servers depends on the load.
        recordings: that are over, by name, of all stages: what they show of models does not.
        earlier: how many of these were over when the stage began.
        failures_in_a_row: of the candidate, the latest.
        looks: how often the requests of the stage were judged.
        servers_fine: whether they were fine at the last look.
    """

    rollout: str = ""
    stage: int = 0
    tracks: dict[str, Seen] = field(default_factory=lambda: {STABLE: Seen(), CANDIDATE: Seen()})
    recordings: dict[str, Recording] = field(default_factory=dict)
    earlier: int = 0
    failures_in_a_row: int = 0
    looks: int = 0
    servers_fine: bool = False

    @classmethod
    def for_rollout(cls, rollout: Rollout) -> Evidence:
        """Return empty evidence."""
        return cls(rollout.id, rollout.stage)

    def for_stage(self, stage: int) -> Evidence:
        """Return what remains of it in another stage."""
        return Evidence(
            self.rollout, stage, recordings=self.recordings, earlier=len(self.recordings)
        )

    def belongs_to(self, rollout: Rollout) -> bool:
        """Tell whether it was seen in this stage."""
        return (self.rollout, self.stage) == (rollout.id, rollout.stage)

    @property
    def in_stage(self) -> list[Recording]:
        """The recordings that were over in this stage."""
        return list(self.recordings.values())[self.earlier :]

    def figures(self) -> dict[str, Any]:
        """Return the counts without the histograms."""
        tracks = {
            name: {
                "requests": seen.requests,
                "failures": seen.failures,
                "p50_ms": round(seen.quantile_ms(0.5), 1) if seen.answered else None,
                "p95_ms": round(seen.quantile_ms(0.95), 1) if seen.answered else None,
            }
            for name, seen in self.tracks.items()
        }
        return {"tracks": tracks, "recordings": len(self.recordings)}


def path(home: Path) -> Path:
    """Return where it is kept."""
    return home / "serving" / "rollout-evidence.json"


def save(home: Path, value: dict[str, Any]) -> None:
    """Write it: whoever reads sees the old or the new."""
    jsonfile.write(path(home), value)


def dump(evidence: Evidence) -> dict[str, Any]:
    """Return it as it is written."""
    return asdict(evidence)


def load(home: Path, rollout: Rollout) -> Evidence:
    """Return what was seen of this rollout before a restart; empty if nothing is known of it."""
    try:
        value = jsonfile.read(path(home))
        tracks = {name: Seen(**value["tracks"][name]) for name in (STABLE, CANDIDATE)}
        recordings = {name: _recording(one) for name, one in value["recordings"].items()}
        plain = {item.name: value[item.name] for item in fields(Evidence)}
        found = Evidence(**(plain | {"tracks": tracks, "recordings": recordings}))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        found = Evidence()
    fits = found.rollout == rollout.id and all(
        len(seen.slowness) == len(EDGES) + 1 for seen in found.tracks.values()
    )
    if not fits:
        return Evidence.for_rollout(rollout)
    return found if found.belongs_to(rollout) else found.for_stage(rollout.stage)


def _recording(value: dict[str, Any]) -> Recording:
    parts = {name: Part(**value[name]) for name in (STABLE, CANDIDATE)}
    return Recording(**(value | parts))
