"""Rollouts of candidates whose faults are known, played through the judge with clustered requests.

Each recording is worn or not and is given to both versions as the front does: a canary's requests
by lot, a shadow's all. What a candidate does otherwise, it mostly does with whole recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, log

import numpy as np

from serving.front import evidence as kept
from serving.front import judge
from serving.front.evidence import Evidence
from serving.front.judge import Finding
from serving.front.recordings import Part, Recording
from toolwear.common.thresholds import thresholds
from toolwear.release.rollout import CANDIDATE, STABLE, Mode, Rollout, weights

PASSED, DROPPED, UNDECIDED = "promoted", "dropped", "undecided"
LIMITS = thresholds().rollout.model_dump()
_ROWS = 4  # of a request
_WRONG = 0.02  # share of requests that either version judges unlike the rest of the recording


@dataclass(frozen=True)
class Case:
    """A candidate.

    Attributes:
        title: in words.
        good: whether it may pass.
        otherwise: share of recordings that it judges otherwise.
        unsure: share of recordings that it alone is unsure of.
        shared_unsure: share that both are unsure of.
        failing: share of its requests that fail.
        failing_recordings: share of recordings of which it fails half of the requests.
        shared_failing: share of recordings of which both do.
        slower: factor on the time that its answers take.
    """

    title: str
    good: bool
    otherwise: float = 0.03
    unsure: float = 0.01
    shared_unsure: float = 0.05
    failing: float = 0.0
    failing_recordings: float = 0.0
    shared_failing: float = 0.0
    slower: float = 1.0


CASES: Mapping[str, Case] = {
    "same": Case("the same model once more", True, otherwise=0.0, unsure=0.0),
    "good": Case("as good: judges 3 % of recordings otherwise, is not sure of 1 % more", True),
    "outages": Case("as good; both fail half of the time on 5 %", True, shared_failing=0.05),
    "disagrees": Case("judges 40 % of recordings otherwise", False, otherwise=0.40),
    "at_limit": Case("judges 20 % otherwise, the limit", False, otherwise=0.20),
    "unsure": Case("is not sure of 30 % more", False, unsure=0.30),
    "unsure_at_limit": Case("is not sure of 10 % more, the limit", False, unsure=0.10),
    "failing": Case("fails 10 points more often", False, failing=0.10),
    "failing_some": Case("fails half of the time on 20 %", False, failing_recordings=0.20),
    "slow": Case("takes six times as long", False, slower=6.0),
}


@dataclass(frozen=True)
class Played:
    """How a rollout ended.

    Attributes:
        end: PASSED, DROPPED, or UNDECIDED if it was not over by then.
        recordings: that it took.
    """

    end: str
    recordings: int


def play(case: Case, mode: Mode, requests: int, most: int, random: np.random.Generator) -> Played:
    """Play one rollout from its start.

    Args:
        case: the candidate.
        mode: CANARY or SHADOW.
        requests: of a recording.
        most: recordings after which it is not waited any longer.
        random: draws.
    """
    now = _rollout(mode)
    evidence = Evidence.for_rollout(now)
    for number in range(1, most + 1):
        recording = _asked(case, now, evidence, requests, random)
        finding, _ = judge.look(now, evidence, {str(number): recording}, inf)
        if finding is Finding.WORSE:
            return Played(DROPPED, number)
        if finding is Finding.FINE:
            if mode is Mode.SHADOW or now.stage + 1 == len(LIMITS["stages"]):
                return Played(PASSED, number)
            stage = now.stage + 1
            now = replace(now, stage=stage, weights=weights(mode, LIMITS["stages"][stage]))
            evidence = evidence.for_stage(stage)
    return Played(UNDECIDED, most)


def _rollout(mode: Mode) -> Rollout:
    return Rollout(
        id="2-x",
        model="toolwear",
        mode=mode.value,
        version="2",
        package_digest="",
        champion="1",
        why="",
        cause="schedule: nightly",
        started="",
        stage=0,
        since="",
        weights=weights(mode, LIMITS["stages"][0]),
        thresholds=LIMITS,
    )


def _asked(
    case: Case, now: Rollout, evidence: Evidence, requests: int, random: np.random.Generator
) -> Recording:
    """Have both versions asked about one recording."""
    worn = random.random() < 0.5
    otherwise = random.random() < case.otherwise
    both_unsure = random.random() < case.shared_unsure
    unsure = both_unsure or random.random() < case.unsure / (1 - case.shared_unsure)
    both_fail = 0.5 * (random.random() < case.shared_failing)
    failing = max(both_fail, case.failing + 0.5 * (random.random() < case.failing_recordings))
    share = now.weights[CANDIDATE] / 100
    given = int(random.binomial(requests, share)) if now.mode == Mode.CANARY else requests
    theirs = requests - given if now.mode == Mode.CANARY else requests
    found = Recording(
        stable=_part(evidence, STABLE, theirs, both_fail, both_unsure, worn, 1.0, random),
        candidate=_part(
            evidence, CANDIDATE, given, failing, unsure, worn != otherwise, case.slower, random
        ),
    )
    if now.mode == Mode.SHADOW and not unsure:
        rows = found.candidate.rows
        found.compared = rows
        wrong = int(random.binomial(rows, 2 * _WRONG * (1 - _WRONG)))
        found.disagreed = rows - wrong if otherwise else wrong
    return found


def _part(
    evidence: Evidence,
    track: str,
    requests: int,
    failing: float,
    unsure: bool,
    worn: bool,
    slower: float,
    random: np.random.Generator,
) -> Part:
    seen = evidence.tracks[track]
    failures = int(random.binomial(requests, failing))
    times = random.lognormal(log(10 * slower), 0.5, requests - failures)
    counts = np.histogram(times, [0, *kept.EDGES, np.inf])[0].tolist()
    seen.requests += requests
    seen.failures += failures
    seen.slowness = [a + b for a, b in zip(seen.slowness, counts, strict=True)]
    rows = (requests - failures) * _ROWS
    return Part(
        requests,
        failures,
        slow=int((times > 10 * 2.3 * LIMITS["latency_ratio"] + 20).sum()),
        rows=rows,
        unsure=rows if unsure else 0,
        worn=0 if unsure else int(random.binomial(rows, 1 - _WRONG if worn else _WRONG)),
    )
