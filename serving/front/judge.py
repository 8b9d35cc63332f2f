"""Whether a candidate is as good as the champion, by what was seen of both in a stage.

Every share is held against its limit by a confidence bound: Wilson's score interval (E. B. Wilson,
Journal of the American Statistical Association 22, 1927) for one share, and Newcombe's interval of
the difference of two, which is made of Wilson's (R. G. Newcombe, Statistics in Medicine 17, 1998,
method 10). A share is worse if its interval lies above the limit, fine if it lies below; else more
has to be seen. Traffic is divided at random, so that both tracks are samples of the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import hypot, sqrt
from statistics import NormalDist
from typing import Any

from components.core.causes import Cause, cause_of
from serving.common.rollout import CANDIDATE, STABLE, Mode, Rollout
from serving.front.evidence import Evidence

LOOKS = 6  # each after twice as many requests, so that looking often does not find by chance
_SUSPECTED = (Cause.DEGRADATION, Cause.DISTRIBUTION_CHANGE)


class Finding(StrEnum):
    """How a share compares with its limit."""

    FINE = "fine"
    OPEN = "open"  # more has to be seen
    WORSE = "worse"


@dataclass(frozen=True)
class Measured:
    """A share, held against its limit.

    Attributes:
        name: of what was measured.
        candidate: its share, or the difference's first part.
        champion: its share; None where only the candidate's counts.
        low: bound of the share or of the difference.
        high: the other bound.
        limit: which it may not exceed.
        finding: what follows.
    """

    name: str
    candidate: float
    champion: float | None
    low: float
    high: float
    limit: float
    finding: Finding

    def told(self) -> str:
        """Return it in words."""
        beside = "" if self.champion is None else f" (champion {self.champion:.1%})"
        return (
            f"{self.name} {self.candidate:.1%}{beside}, bound {self.low:.1%} to {self.high:.1%}, "
            f"limit {self.limit:.1%}"
        )

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def wilson(count: int, of: int, z: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share.

    Args:
        count: how many.
        of: of how many; from 1.
        z: quantile of the normal distribution.
    """
    share, spread = count / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def difference(
    first: tuple[int, int], second: tuple[int, int], z: float
) -> tuple[float, float, float]:
    """Return the difference of two shares and Newcombe's interval of it.

    Args:
        first: how many of how many.
        second: is subtracted.
        z: quantile of the normal distribution.
    """
    (a, m), (b, n) = first, second
    p, q = a / m, b / n
    (p_low, p_high), (q_low, q_high) = wilson(a, m, z), wilson(b, n, z)
    return p - q, p - q - hypot(p - p_low, q_high - q), p - q + hypot(p_high - p, q - q_low)


def measure(rollout: Rollout, evidence: Evidence) -> list[Measured]:
    """Return everything that is compared, as far as there is something to compare.

    Args:
        rollout: says by which limits.
        evidence: of its stage.
    """
    limits = rollout.thresholds
    z = NormalDist().inv_cdf(limits["confidence"])
    ours, theirs = evidence.tracks[CANDIDATE], evidence.tracks[STABLE]
    if not ours.requests or not theirs.requests:
        return []
    found = [
        _against(
            "failed requests",
            (ours.failures, ours.requests),
            (theirs.failures, theirs.requests),
            limits["failure_margin"],
            z,
        ),
        _against(
            "answers not sure",
            (ours.unsure, ours.requests),
            (theirs.unsure, theirs.requests),
            limits["abstention_margin"],
            z,
        ),
    ]
    if ours.answered and theirs.answered:
        slow = theirs.quantile_ms(0.95) * limits["latency_ratio"] + limits["latency_slack_ms"]
        share = (ours.slower_than(slow), ours.answered)
        found.append(_alone(f"answers slower than {slow:.0f} ms", share, limits["slow_share"], z))
    if rollout.mode == Mode.SHADOW and not _suspected(rollout) and evidence.requests_compared:
        share = (evidence.requests_disagreed, evidence.requests_compared)
        found.append(_alone("requests judged otherwise", share, limits["disagreement"], z))
    return found


def due(rollout: Rollout, evidence: Evidence, seconds: float) -> bool:
    """Tell whether it is time to look: after the minimum, and then after twice as many each time.

    Args:
        rollout: says after how many requests and seconds.
        evidence: of its stage.
        seconds: since the candidate got its first request of the stage.
    """
    limits: Mapping[str, Any] = rollout.thresholds
    seen = min(evidence.tracks[name].requests for name in (STABLE, CANDIDATE))
    wanted = limits["minimum_requests"] * 2**evidence.looks
    return seen >= wanted and seconds >= limits["minimum_seconds"]


def _against(
    name: str, ours: tuple[int, int], theirs: tuple[int, int], limit: float, z: float
) -> Measured:
    _, low, high = difference(ours, theirs, z)
    shares = ours[0] / ours[1], theirs[0] / theirs[1]
    return Measured(name, *shares, low, high, limit, _finding(low, high, limit))


def _alone(name: str, share: tuple[int, int], limit: float, z: float) -> Measured:
    low, high = wilson(*share, z)
    return Measured(name, share[0] / share[1], None, low, high, limit, _finding(low, high, limit))


def _finding(low: float, high: float, limit: float) -> Finding:
    if low > limit:
        return Finding.WORSE
    return Finding.FINE if high < limit else Finding.OPEN


def _suspected(rollout: Rollout) -> bool:
    """Tell whether the champion is thought to be wrong, so that to disagree is no fault."""
    return cause_of(rollout.cause) in _SUSPECTED
