"""Whether a candidate is as good: the bounds, how often they are wrong, and what is counted."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student

from serving.common.caller import RECORDING_ID
from serving.front import evidence as kept
from serving.front.evidence import Evidence, Seen
from serving.front.judge import Finding, due, look, measure, undecided
from serving.front.recordings import MOST, Open, Part, Recording
from serving.front.tracks import TRANSFORMER, Asked
from serving.front.verdicts import said
from tools.bench_rollout.__main__ import wrongly
from tools.bench_rollout.simulation import CASES, DROPPED, PASSED, UNDECIDED, play
from toolwear.common.thresholds import thresholds
from toolwear.release.rollout import CANDIDATE, STABLE, Mode, Rollout, weights
from toolwear.statistics import bounds
from toolwear.statistics.bounds import difference, wilson

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


# --- bounds of means ------------------------------------------------------------------------------


def test_recordings_without_a_fault_show_as_much_as_they_can() -> None:
    for limit in (0.1, 0.2):
        exact = next(n for n in range(1, 99) if (1 - limit) ** n <= 0.05)  # for one look only
        assert exact < bounds.enough(limit, 0.05) <= 1.3 * exact
    assert bounds.enough(0.1, 0.05) == 35


@pytest.mark.parametrize("least", [0.0, -1.0])
def test_the_bounds_of_a_mean_agree_with_what_is_refuted(least: float) -> None:
    random = np.random.default_rng(0)
    values = random.choice([least, 0.0, 0.25, 1.0], 60).tolist()
    low, high = bounds.mean_above(values, least, 0.05), bounds.mean_below(values, least, 0.05)
    assert low < np.mean(values) < high
    assert bounds.below(values, high + 1e-3, 0.05)
    assert not bounds.below(values, high - 1e-3, 0.05)
    assert bounds.above(values, least, low - 1e-3, 0.05)
    assert not bounds.above(values, least, low + 1e-3, 0.05)


def test_a_bound_is_seldom_wrong_however_often_one_looks() -> None:
    random = np.random.default_rng(0)
    wrong = 0
    for _ in range(200):
        values = (random.random(100) < 0.2).astype(float).tolist()
        wrong += any(bounds.below(values[:n], 0.2, 0.05) for n in range(1, 101))
    assert 0 < wrong <= 0.05 * 200


def test_requests_of_recordings_that_differ_count_less() -> None:
    assert bounds.design_effect([(0, 100)] * 20, 0.95) == 1.0
    assert bounds.design_effect([(10, 100)] * 20, 0.95) == 1.0
    # Whole recordings fail or do not: of 100 requests each, hardly more than one counts.
    whole = [(100, 100)] * 2 + [(0, 100)] * 18
    ratio = student.ppf(0.95, 19) / 1.6448536
    assert bounds.design_effect(whole, 0.95) == pytest.approx(100 * 20 / 19 * ratio**2, rel=1e-3)


# --- whole rollouts -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.CANARY, Mode.SHADOW])
@pytest.mark.parametrize("name", ["good", "disagrees", "unsure", "failing", "slow"])
def test_a_rollout_seldom_ends_wrongly(name: str, mode: Mode) -> None:
    random = np.random.default_rng(1)
    played = [play(CASES[name], mode, 250, 80, random) for _ in range(40)]
    assert wrongly(name, played) <= 0.05 * 40
    right = PASSED if CASES[name].good else DROPPED
    assert sum(one.end == right for one in played) >= 0.3 * 40, "it comes to an end"


def test_few_recordings_decide_nothing_however_many_their_requests() -> None:
    random = np.random.default_rng(0)
    played = [play(CASES["same"], Mode.SHADOW, 1000, 20, random) for _ in range(20)]
    assert {one.end for one in played} == {UNDECIDED}
    played = [play(CASES["disagrees"], Mode.SHADOW, 1000, 10, random) for _ in range(20)]
    assert PASSED not in {one.end for one in played}


def test_a_canary_of_one_request_a_recording_compares_nothing() -> None:
    played = play(CASES["same"], Mode.CANARY, 1, 300, np.random.default_rng(0))
    assert played.end == UNDECIDED


# --- what is counted ------------------------------------------------------------------------------


def both(verdict: float = 1.0, **candidate: Any) -> Recording:
    """Return a recording of which both have answered ten requests of two rows."""
    theirs = Part(requests=10, rows=20, worn=20)
    ours = Part(requests=10, rows=20, worn=round(20 * verdict))
    return Recording(theirs, replace(ours, **candidate))


def test_looks_are_few_and_each_after_twice_as_many() -> None:
    now = rollout(minimum_requests=10, minimum_seconds=5)
    evidence = Evidence.for_rollout(now)
    evidence.tracks[STABLE].requests = 1000
    evidence.tracks[CANDIDATE].requests = 10
    assert not due(now, evidence, 5), "no recording is over"
    evidence.recordings = {str(n): both() for n in range(LIMITS["minimum_recordings"])}
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
    evidence.tracks[CANDIDATE].add(0.01, failed=False)
    assert measure(rollout(), evidence) == []
    assert undecided(rollout(), evidence) == (
        "0 recordings were answered by both, and it takes at least 35."
    )


def test_to_disagree_is_a_fault_only_beside_a_champion_that_is_trusted() -> None:
    evidence = Evidence(recordings={str(n): both(0.0) for n in range(40)})

    def named(now: Rollout) -> dict[str, Finding]:
        return {one.name: one.finding for one in measure(now, evidence)}

    for mode in (Mode.SHADOW, Mode.CANARY):
        assert named(rollout(mode))["judged otherwise"] is Finding.WORSE
        for cause in ("degradation: wrong", "distribution_change: load"):
            assert "judged otherwise" not in named(rollout(mode, cause))


def test_what_models_do_is_told_over_stages_and_what_servers_do_of_one() -> None:
    now = rollout(minimum_seconds=0)
    evidence = Evidence.for_rollout(now)
    for seen in evidence.tracks.values():
        for _ in range(400):
            seen.add(0.01, failed=False)
    recordings = {str(n): both() for n in range(bounds.enough(0.1, 0.05) - 1)}
    assert look(now, evidence, recordings, 60)[0] is Finding.UNDECIDED
    finding, measured = look(now, evidence, {"last": both()}, 60)
    assert finding is Finding.FINE
    assert [(one.unit, one.n) for one in measured][::3] == [("requests", 400), ("recordings", 35)]
    later = evidence.for_stage(1)
    assert (len(later.recordings), later.in_stage, later.looks) == (35, [], 0)
    assert look(now, later, {}, 60) == (Finding.UNDECIDED, [])


def test_a_recording_is_judged_otherwise_by_rows_of_copies_or_by_most_of_what_was_said() -> None:
    assert both(0.6).otherwise == 0
    assert both(0.4).otherwise == 1
    assert both(0.0, unsure=20, worn=0).otherwise == 0, "it is not sure"
    assert both(0.0, unsure=20, worn=0).more_doubt == 1
    assert Recording(both().stable, both().candidate, compared=8, disagreed=2).otherwise == 0.25
    assert both().answered(10)
    assert not both().answered(11)
    assert not both(failures=8).answered(3)


def asked(body: Any, client: str = "10.0.0.1", **headers: str) -> Asked:
    return Asked("POST", "/", headers, orjson.dumps(body), TRANSFORMER, True, client)


RAW = {"instances": [{"X1_ActualPosition": 1.0}]}


def test_a_recording_is_what_the_client_names_else_its_requests_in_a_row() -> None:
    going = Open(gap=0.05)
    assert going.of(asked(RAW, **{RECORDING_ID: "r-1"})) == ("r-1",)
    keys = {"instances": [{"run_id": "07"}, {"run_id": "08"}]}
    assert going.of(asked(keys)) == ("07", "08")
    assert going.of(asked(keys, **{RECORDING_ID: "r-1"})) == ("r-1",)
    tensor = {"name": "run_id", "datatype": "BYTES", "shape": [1], "data": ["09"]}
    assert going.of(asked({"inputs": [tensor]})) == ("09",)
    first = going.of(asked(RAW))
    assert going.of(asked(RAW)) == first
    assert going.of(asked(RAW, client="10.0.0.2")) != first
    others: list[Any] = [
        [],
        {"instances": 3},
        {"inputs": [{}]},
        "x",
        {"instances": [{"run_id": 7}]},
    ]
    for other in others:
        assert going.of(asked(other)) == first
    time.sleep(0.06)
    assert going.of(asked(RAW)) != first


def test_a_recording_counts_once_when_it_is_over() -> None:
    going = Open(gap=0.05)
    for name in (("a", "b"), ("a",)):
        verdicts = ("worn", "not_sure")
        going.add(name, STABLE, verdicts, failed=False, slow=False)
        going.add(name, CANDIDATE, ("unworn", "worn"), failed=False, slow=True)
        going.compare(name, ("unworn", "worn"), verdicts)
    going.add(("a",), CANDIDATE, (), failed=True, slow=False)
    assert going.over({}) == {}
    time.sleep(0.06)
    found = going.over({"b": both()})
    assert (list(found), len(going)) == (["a"], 0)
    assert found["a"] == Recording(
        Part(requests=2, rows=3, unsure=1, worn=2),
        Part(requests=3, failures=1, slow=2, rows=3, worn=1),
        compared=2,
        disagreed=2,
    )


def test_times_are_counted_in_steps_of_a_tenth() -> None:
    seen = Seen()
    for milliseconds in range(1, 101):
        seen.add(milliseconds / 1000, failed=False)
    seen.add(1000, failed=False)  # longer than the last edge
    seen.add(9, failed=True)
    assert (seen.requests, seen.failures, seen.answered) == (102, 1, 101)
    assert 50 <= seen.quantile_ms(0.5) <= 56
    assert 50 - 5.5 <= seen.slower_than(50) <= 51
    assert seen.slower_than(1e6) == 0


def test_what_was_seen_survives_a_restart_and_of_another_stage_the_recordings_do(
    tmp_path: Path,
) -> None:
    now = rollout()
    evidence = Evidence.for_rollout(now)
    evidence.tracks[STABLE].add(0.01, failed=False)
    evidence.recordings["r-1"] = both(0.3)
    evidence.looks, evidence.servers_fine = 2, True
    kept.save(tmp_path, kept.dump(evidence))
    assert kept.load(tmp_path, now) == evidence
    later = kept.load(tmp_path, replace(now, stage=1))
    assert (later.tracks[STABLE].requests, later.recordings) == (0, evidence.recordings)
    assert kept.load(tmp_path, replace(now, id="3-x")).recordings == {}
    kept.path(tmp_path).write_text("{")
    assert kept.load(tmp_path, now) == Evidence.for_rollout(now)


def v1(*verdicts: str) -> bytes:
    rows = [{"verdict": verdict} for verdict in verdicts]
    return orjson.dumps({"predictions": rows, "receipt": {"version": "7"}})


def test_answers_of_both_protocols_are_read_and_others_are_not() -> None:
    first = said(v1("worn", "not_sure", "unworn"), None)
    assert first is not None
    assert first.version == "7"
    assert first.verdicts == ("worn", "not_sure", "unworn")
    tensor = {"name": "verdict", "data": ["unworn", "not_sure", "not_sure"]}
    value = orjson.dumps({"model_version": "8", "outputs": [tensor]})
    second = said(value + b"\x00\x01", str(len(value)))
    assert second is not None
    assert second.version == "8"
    assert second.verdicts == ("unworn", "not_sure", "not_sure")
    for other in (b"", b"[]", b"{}", b"\xff", b'{"predictions": [{}]}', v1()):
        assert said(other, None) is None
    assert said(b"{}", "many") is None


def test_recordings_that_clients_make_up_are_bounded() -> None:
    going = Open(gap=0.0)
    for start in range(0, 3 * MOST, 1000):
        names = tuple(f"made-up-{start + number}" for number in range(1000))
        going.add(names, STABLE, ("worn",) * 1000, failed=False, slow=False)
    assert len(going) == MOST
    going.add(("made-up-0", "another"), STABLE, ("worn", "worn"), failed=False, slow=False)
    found = going.over({str(number): both() for number in range(10)})
    assert (len(found), found["made-up-0"].stable.rows, len(going)) == (MOST - 10, 2, 0)
