"""Whether a candidate is as good: the bounds, how often they are wrong, and what is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from scipy.stats import binomtest

from components.core.thresholds import thresholds
from serving.common.rollout import CANDIDATE, STABLE, Mode, Rollout, weights
from serving.front import evidence as kept
from serving.front.evidence import Evidence, Seen
from serving.front.judge import LOOKS, Finding, difference, due, measure, wilson
from serving.front.verdicts import compared, said

LIMITS = thresholds().rollout.model_dump()


def rollout(mode: Mode = Mode.CANARY, cause: str = "schedule", **changes: Any) -> Rollout:
    return Rollout(
        id="2-x",
        model="toolwear",
        mode=mode.value,
        version="2",
        package_digest="d",
        champion="1",
        why="",
        cause=cause,
        started="",
        stage=0,
        since="",
        weights=weights(mode, 10),
        thresholds=LIMITS | changes,
    )


@pytest.mark.parametrize(("count", "of"), [(0, 200), (3, 200), (57, 200), (200, 200)])
def test_wilson_is_scipys(count: int, of: int) -> None:
    theirs = binomtest(count, of).proportion_ci(0.98, "wilson")
    assert wilson(count, of, 2.3263478740408408) == pytest.approx(tuple(theirs), abs=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [  # Newcombe 1998, table II, method 10, 95 %
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_the_interval_of_a_difference_is_newcombes(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    assert difference(first, second, 1.959964)[1:] == pytest.approx((low, high), abs=5e-5)


def stage(
    random: np.random.Generator,
    *,
    failing: float = 0.0,
    unsure: float = 0.1,
    slower: float = 1.0,
    shared: float = 0.001,
) -> tuple[str, int]:
    """Play a stage with a tenth of the traffic; return how it ends and after how many requests."""
    now = rollout()
    evidence = Evidence.for_stage(now)
    while True:
        for track, fails, doubts, factor, rows in (
            (CANDIDATE, shared + failing, unsure, slower, 1),
            (STABLE, shared, 0.1, 1.0, 9),
        ):
            more = LIMITS["minimum_requests"] * 2 ** max(0, evidence.looks - 1) * rows
            seen = evidence.tracks[track]
            failed = int(random.binomial(more, fails))
            seen.requests += more
            seen.failures += failed
            seen.unsure += int(random.binomial(more - failed, doubts))
            times = random.lognormal(np.log(10 * factor), 0.5, more - failed)
            counts = np.histogram(times, [0, *kept.EDGES, np.inf])[0].tolist()
            seen.slowness = [a + b for a, b in zip(seen.slowness, counts, strict=True)]
        assert due(now, evidence, 60)
        found = {one.finding for one in measure(now, evidence)}
        evidence.looks += 1
        if Finding.WORSE in found:
            return "dropped", evidence.tracks[CANDIDATE].requests
        if Finding.OPEN not in found:
            return "passed", evidence.tracks[CANDIDATE].requests
        if evidence.looks >= LOOKS:
            return "dropped", evidence.tracks[CANDIDATE].requests


@pytest.mark.parametrize(
    ("worse", "ends"),
    [
        ({}, "passed"),
        ({"failing": 0.10}, "dropped"),
        ({"unsure": 0.30}, "dropped"),
        ({"slower": 6.0}, "dropped"),
    ],
)
def test_how_often_a_stage_ends_rightly(worse: dict[str, float], ends: str) -> None:
    random = np.random.default_rng(0)
    played = [stage(random, **worse) for _ in range(200)]
    right = sum(end == ends for end, _ in played)
    print(f"{worse or 'as good'}: {right} of 200 {ends}, {np.mean([n for _, n in played]):.0f}")
    assert right >= 198


def test_a_candidate_at_the_limit_is_seldom_taken() -> None:
    random = np.random.default_rng(1)
    taken = sum(
        stage(random, failing=LIMITS["failure_margin"], shared=0.01)[0] == "passed"
        for _ in range(200)
    )
    assert taken <= 0.05 * 200


def test_looks_are_few_and_each_after_twice_as_many() -> None:
    now = rollout(minimum_requests=10, minimum_seconds=5)
    evidence = Evidence.for_stage(now)
    evidence.tracks[STABLE].requests = 1000
    wanted = []
    for count in range(100):
        evidence.tracks[CANDIDATE].requests = count
        if due(now, evidence, 5):
            assert not due(now, evidence, 4.9)
            wanted.append(count)
            evidence.looks += 1
    assert wanted == [10, 20, 40, 80]


def test_nothing_is_compared_before_both_were_asked() -> None:
    evidence = Evidence()
    evidence.tracks[CANDIDATE].add(0.01, failed=False, unsure=False)
    assert measure(rollout(), evidence) == []


def test_to_disagree_is_a_fault_only_beside_a_champion_that_is_trusted() -> None:
    evidence = Evidence()
    for _ in range(200):
        for seen in evidence.tracks.values():
            seen.add(0.01, failed=False, unsure=False)
        evidence.compare(1, 1)

    def named(now: Rollout) -> dict[str, Finding]:
        return {one.name: one.finding for one in measure(now, evidence)}

    assert named(rollout(Mode.SHADOW))["requests judged otherwise"] is Finding.WORSE
    for cause in ("degradation: wrong", "distribution_change: load"):
        assert "requests judged otherwise" not in named(rollout(Mode.SHADOW, cause))
    assert "requests judged otherwise" not in named(rollout(Mode.CANARY))


def test_times_are_counted_in_steps_of_a_tenth() -> None:
    seen = Seen()
    for milliseconds in range(1, 101):
        seen.add(milliseconds / 1000, failed=False, unsure=False)
    seen.add(1000, failed=False, unsure=False)  # longer than the last edge
    seen.add(9, failed=True, unsure=False)
    assert (seen.requests, seen.failures, seen.answered) == (102, 1, 101)
    assert 50 <= seen.quantile_ms(0.5) <= 56
    assert 50 - 5.5 <= seen.slower_than(50) <= 51
    assert seen.slower_than(1e6) == 0


def test_what_was_seen_survives_a_restart_but_not_a_new_stage(tmp_path: Path) -> None:
    now = rollout()
    evidence = Evidence.for_stage(now)
    evidence.tracks[STABLE].add(0.01, failed=False, unsure=True)
    evidence.compare(3, 2)
    evidence.looks = 2
    kept.save(tmp_path, kept.dump(evidence))
    assert kept.load(tmp_path, now) == evidence
    assert kept.load(tmp_path, replace(now, stage=1)).tracks[STABLE].requests == 0
    kept.path(tmp_path).write_text("{")
    assert kept.load(tmp_path, now) == Evidence.for_stage(now)


def v1(*verdicts: str) -> bytes:
    rows = [{"verdict": verdict} for verdict in verdicts]
    return orjson.dumps({"predictions": rows, "receipt": {"version": "7"}})


def test_answers_of_both_protocols_are_read_and_others_are_not() -> None:
    first = said(v1("worn", "not_sure", "unworn"), None)
    assert first is not None
    assert (first.version, first.unsure) == ("7", False)
    tensor = {"name": "verdict", "data": ["unworn", "not_sure", "not_sure"]}
    value = orjson.dumps({"model_version": "8", "outputs": [tensor]})
    second = said(value + b"\x00\x01", str(len(value)))
    assert second is not None
    assert (second.version, second.unsure) == ("8", True)
    assert compared(first, second) == (1, 1)
    for other in (b"", b"[]", b"{}", b"\xff", b'{"predictions": [{}]}', v1()):
        assert said(other, None) is None
    assert said(b"{}", "many") is None
