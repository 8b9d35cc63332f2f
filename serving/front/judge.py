"""Whether a candidate is as good as the champion, by what was seen of both.

Each figure is held against its limit by a confidence interval: it is worse if the interval lies
above the limit, fine if it lies below; else it is undecided, and more has to be seen. What models
do is counted by the recording, what servers do by the request (`toolwear.statistics.bounds`).

The chance that a candidate passes although a figure of it is at its limit or above, and the chance
that one is dropped although none is, are each at most 1 - `confidence`, over all looks: bounds over
recordings hold however often one looks; requests are looked at after twice as many each time, and
look k has the share 1 / k (k + 1) of that chance. To pass, all figures have to be fine; to be
dropped, one has to be worse, so that these share the chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from statistics import NormalDist
from typing import Any

from serving.front.evidence import Evidence
from serving.front.recordings import FEWEST, Part, Recording
from toolwear.common.causes import Cause, cause_of
from toolwear.release.rollout import CANDIDATE, STABLE, Mode, Rollout
from toolwear.statistics import bounds

_Share = tuple[float, float]
_SUSPECTED = (Cause.DEGRADATION, Cause.DISTRIBUTION_CHANGE)
REQUESTS, RECORDINGS = "requests", "recordings"
_FIGURES = 4  # that one may be dropped by


class Finding(StrEnum):
    """How a figure compares with its limit."""

    FINE = "fine"
    UNDECIDED = "undecided"
    WORSE = "worse"


@dataclass(frozen=True)
class Measured:
    """A figure, held against its limit.

    Attributes:
        name: of what was measured.
        unit: "requests" or "recordings".
        n: how many of these the candidate had.
        candidate: its figure; where the champion has none, the mean over recordings.
        champion: its figure; None where only the candidate's counts.
        limit: which it may not exceed.
        finding: what follows.
        interval: returns the bounds of the figure or of the difference.
    """

    name: str
    unit: str
    n: int
    candidate: float
    champion: float | None
    limit: float
    finding: Finding
    interval: Callable[[], tuple[float, float]]

    def told(self) -> str:
        """Return it in words."""
        beside = "" if self.champion is None else f" (champion {self.champion:.1%})"
        low, high = self.interval()
        return (
            f"{self.name} {self.candidate:.1%}{beside} of {self.n} {self.unit}, bounds "
            f"{low:.1%} to {high:.1%}, limit {self.limit:.1%}"
        )

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        low, high = self.interval()
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        del told["interval"]
        return {**told, "low": low, "high": high}


def measure(rollout: Rollout, evidence: Evidence) -> list[Measured]:
    """Return everything that is compared, as far as there is something to compare.

    Args:
        rollout: says by which limits.
        evidence: of its stage.
    """
    return [*_of_servers(rollout, evidence), *_of_models(rollout, evidence)]


def due(rollout: Rollout, evidence: Evidence, seconds: float) -> bool:
    """Tell whether it is time to look at requests: after the least, then twice as many, and so on.

    Args:
        rollout: says after how many requests, recordings and seconds.
        evidence: of its stage.
        seconds: since the candidate got its first request of the stage.
    """
    limits: Mapping[str, Any] = rollout.thresholds
    seen = min(evidence.tracks[name].requests for name in (STABLE, CANDIDATE))
    wanted = limits["minimum_requests"] * 2**evidence.looks
    few = len(evidence.in_stage) < limits["minimum_recordings"]
    return seen >= wanted and not few and seconds >= limits["minimum_seconds"]


def look(
    rollout: Rollout, evidence: Evidence, over: Mapping[str, Recording], seconds: float
) -> tuple[Finding, list[Measured]]:
    """Judge, if there is something new to judge by; return what follows and why.

    Args:
        rollout: says by which limits.
        evidence: of its stage; what is new is added to it.
        over: recordings that are over since the last look.
        seconds: since the candidate got its first request of the stage.
    """
    evidence.recordings |= over
    looked = due(rollout, evidence, seconds)
    evidence.looks += looked
    if not (looked or over):
        return Finding.UNDECIDED, []
    # Between looks at requests, their figures would be chances to err.
    servers = _of_servers(rollout, evidence) if looked else []
    models = _of_models(rollout, evidence)
    if looked:
        evidence.servers_fine = _fine(servers)
    worse = [one for one in (*servers, *models) if one.finding is Finding.WORSE]
    if worse:
        return Finding.WORSE, worse
    if evidence.servers_fine and _fine(models):
        return Finding.FINE, measure(rollout, evidence)
    return Finding.UNDECIDED, [*servers, *models]


def _fine(measured: Sequence[Measured]) -> bool:
    return bool(measured) and all(one.finding is Finding.FINE for one in measured)


def undecided(rollout: Rollout, evidence: Evidence) -> str:
    """Return in one sentence what is not known yet, and how much it takes at least."""
    limits = rollout.thresholds
    least = bounds.enough(limits["abstention_margin"], 1 - limits["confidence"])
    compared = len(_compared(rollout, evidence))
    open_ones = [
        one.told() for one in measure(rollout, evidence) if one.finding is Finding.UNDECIDED
    ]
    more = f": {'; '.join(open_ones)}" if open_ones else ""
    were = "recording was" if compared == 1 else "recordings were"
    return f"{compared} {were} answered by both, and it takes at least {least}{more}."


# --- servers, by the request ----------------------------------------------------------------------


def _of_servers(rollout: Rollout, evidence: Evidence) -> list[Measured]:
    limits = rollout.thresholds
    ours, theirs = evidence.tracks[CANDIDATE], evidence.tracks[STABLE]
    if not ours.requests or not theirs.requests:
        return []
    look = max(1, evidence.looks)
    alpha = (1 - limits["confidence"]) / (look * (look + 1))

    def effective(part: Callable[[Recording], Part], what: str, count: int, of: int) -> _Share:
        clusters = [
            (getattr(part(one), what), part(one).requests)
            for one in evidence.in_stage
            if part(one).requests
        ]
        less = bounds.design_effect(clusters, 1 - alpha)
        return count / less, of / less

    failed = (
        effective(lambda one: one.candidate, "failures", ours.failures, ours.requests),
        effective(lambda one: one.stable, "failures", theirs.failures, theirs.requests),
    )
    shares = ours.failures / ours.requests, theirs.failures / theirs.requests
    found = [
        _of_requests(
            "failed requests",
            ours.requests,
            shares,
            lambda level: bounds.difference(*failed, _z(level))[1:],
            limits["failure_margin"],
            alpha,
        )
    ]
    if ours.answered and theirs.answered:
        slow = slow_ms(rollout, evidence)
        count = ours.slower_than(slow)
        share = effective(lambda one: one.candidate, "slow", count, ours.answered)
        found.append(
            _of_requests(
                f"answers slower than {slow:.0f} ms",
                ours.answered,
                (count / ours.answered, None),
                lambda level: bounds.wilson(*share, _z(level)),
                limits["slow_share"],
                alpha,
            )
        )
    return found


def _of_requests(
    name: str,
    n: int,
    shares: tuple[float, float | None],
    interval: Callable[[float], tuple[float, float]],
    limit: float,
    alpha: float,
) -> Measured:
    low, high = interval(alpha / _FIGURES)[0], interval(alpha)[1]
    finding = _finding(low > limit, high < limit)
    return Measured(name, REQUESTS, n, *shares, limit, finding, lambda: (low, high))


def slow_ms(rollout: Rollout, evidence: Evidence) -> float:
    """Return how long an answer may take, in milliseconds, by what the champion's take."""
    limits = rollout.thresholds
    usual = evidence.tracks[STABLE].quantile_ms(0.95)
    return float(usual * limits["latency_ratio"] + limits["latency_slack_ms"])


def _z(alpha: float) -> float:
    return NormalDist().inv_cdf(1 - alpha)


# --- models, by the recording ---------------------------------------------------------------------


def _of_models(rollout: Rollout, evidence: Evidence) -> list[Measured]:
    limits, compared = rollout.thresholds, _compared(rollout, evidence)
    if not compared:
        return []
    alpha = 1 - limits["confidence"]
    shares = (
        sum(one.candidate.doubt for one in compared) / len(compared),
        sum(one.stable.doubt for one in compared) / len(compared),
    )
    more = [one.more_doubt for one in compared]
    found = [_over_recordings("rows not sure", shares, more, limits["abstention_margin"], alpha)]
    if not _suspected(rollout):
        values = [one.otherwise for one in compared]
        share, limit = sum(values) / len(values), limits["disagreement"]
        found.append(_over_recordings("judged otherwise", (share, None), values, limit, alpha))
    return found


def _compared(rollout: Rollout, evidence: Evidence) -> list[Recording]:
    fewest = FEWEST if rollout.mode == Mode.CANARY else 1  # a copy is of the same rows
    return [one for one in evidence.recordings.values() if one.answered(fewest)]


def _over_recordings(
    name: str,
    shares: tuple[float, float | None],
    values: Sequence[float],
    limit: float,
    alpha: float,
) -> Measured:
    least = -1.0 if shares[1] is not None else 0.0
    worse = bounds.above(values, least, limit, alpha / _FIGURES)
    return Measured(
        name,
        RECORDINGS,
        len(values),
        *shares,
        limit,
        _finding(worse, bounds.below(values, limit, alpha)),
        lambda: (
            bounds.mean_above(values, least, alpha / _FIGURES),
            bounds.mean_below(values, least, alpha),
        ),
    )


def _finding(worse: bool, fine: bool) -> Finding:
    if worse:
        return Finding.WORSE
    return Finding.FINE if fine else Finding.UNDECIDED


def _suspected(rollout: Rollout) -> bool:
    """Tell whether the champion is thought to be wrong, so that to disagree is no fault."""
    return cause_of(rollout.cause) in _SUSPECTED
