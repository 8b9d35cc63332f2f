"""From rows to windows to alarms, on the real recordings, without files and processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from serving.monitor.judge import IDLE, Judge
from serving.monitor.kinds import IMITATED, Kind, Result
from serving.monitor.packages import judge as judge_of
from serving.monitor.state import State, Window
from serving.monitor.tally import RegimeTally
from serving.monitor.watch import Closed, Watch, alarms
from tests.monitor.conftest import Mill
from tools.replay.scenarios import SCENARIOS
from toolwear.common.thresholds import thresholds
from toolwear.dataset import schema

LIMITS = thresholds().monitor


@pytest.fixture(scope="session")
def judge(mill: Mill) -> Judge:
    return judge_of(mill.package, LIMITS)


@pytest.fixture(scope="session")
def rows(mill: Mill) -> pd.DataFrame:
    """Return the log's rows of run 12, 1897 of which cut."""
    return mill.offline.frame(mill.recordings["12"])


def watching(judge: Judge) -> tuple[State, Watch]:
    state = State()
    return state, Watch(state, lambda digest: judge, LIMITS)


def results(state: State, kind: Kind) -> list[Result]:
    return [window.verdicts[kind].result for window in state.windows if kind in window.verdicts]


def test_windows_have_their_rows_and_only_those_that_cut(judge: Judge, rows: pd.DataFrame) -> None:
    state, watch = watching(judge)
    closed = list(watch.rows(rows))
    cutting = rows[rows[schema.IS_CUTTING] == True]  # noqa: E712
    about = [one.window.about for one in closed]
    assert about == ["feed-3"] * 3 + ["rows"] * 3
    assert {one.window.rows for one in closed} == {500}
    package = state.packages[str(rows["package_digest"].iloc[0])]
    assert package.regimes["3"].rows == len(cutting) - 1500 == package.quality.rows
    first = closed[0]
    times = [when.isoformat() for when in cutting["answered_at"]]
    assert (first.window.first, first.window.last) == (times[0], times[499])
    assert isinstance(first.tally, RegimeTally)
    assert {sum(counts) for counts in first.tally.counts.values()} == {500}


def test_how_the_log_is_cut_into_looks_makes_no_difference(
    judge: Judge, rows: pd.DataFrame
) -> None:
    whole, watch = watching(judge)
    list(watch.rows(rows))
    cut = State()
    for start in range(0, len(rows), 137):
        # As after a kill: from what is in the file.
        cut = State.model_validate_json(cut.model_dump_json())
        list(Watch(cut, lambda digest: judge, LIMITS).rows(rows.iloc[start : start + 137]))
    assert {w.id for w in cut.windows} == {w.id for w in whole.windows}
    by_id = {window.id: window for window in cut.windows}
    for window in whole.windows:
        other = by_id[window.id]
        assert (other.first, other.last, other.rows) == (window.first, window.last, window.rows)
        for kind, verdict in window.verdicts.items():
            assert other.verdicts[kind].result == verdict.result
            assert other.verdicts[kind].score == pytest.approx(verdict.score, rel=1e-9)


def served(mill: Mill, judge: Judge, name: str, runs: tuple[str, ...]) -> State:
    """Return the state after runs with a scenario, and their labels."""
    state, watch = watching(judge)
    scenario = SCENARIOS[name]
    for number, run in enumerate(runs):
        frame = mill.offline.frame(scenario.change(mill.recordings[run]), 1000 * number)
        list(watch.rows(frame))
        list(watch.labels(frame.assign(worn=scenario.label(mill.recordings[run]))))
    return state


@pytest.mark.parametrize(
    ("name", "raised"),
    [
        ("healthy", set()),
        ("tool_lower", {Kind.CONCEPT}),
        ("mains_down", {Kind.PREDICTION, Kind.SESSION}),
        ("dead_sensor", {Kind.QUALITY, Kind.ABSTENTION}),
        ("other_feed", {Kind.DATA}),
        ("flipped_labels", {Kind.CONCEPT}),
    ],
)
def test_a_scenario_raises_its_alarms(
    mill: Mill, judge: Judge, name: str, raised: set[Kind]
) -> None:
    state = served(mill, judge, name, ("12", "13"))
    found = {kind for kind, on in alarms(state, mill.package.digest, LIMITS).items() if on}
    assert found >= raised
    if name == "dead_sensor":
        assert not found & set(IMITATED)
        assert set(results(state, Kind.SESSION)) == {Result.ALARM}
    if name in ("healthy", "flipped_labels"):
        assert found == raised
        assert set(results(state, Kind.DATA)) == {Result.OK}
        assert Result.ALARM not in results(state, Kind.SESSION)


def test_a_sensor_that_was_mended_leaves_no_alarm_of_drift(mill: Mill, judge: Judge) -> None:
    state, watch = watching(judge)
    dead = mill.offline.frame(SCENARIOS["dead_sensor"].change(mill.recordings["12"]))
    # Some rows of another feed rate first, so that windows of quality end before those of drift.
    faster = mill.offline.frame(mill.recordings["10"])
    faster = faster[faster[schema.IS_CUTTING] == True].iloc[:60]  # noqa: E712
    dead["answered_at"] += pd.Timedelta(hours=1)
    rows = pd.concat([faster, dead, mill.offline.frame(mill.recordings["12"], 9000)])
    clean = False
    for start in range(0, len(rows), 10):
        for _ in watch.rows(rows.iloc[start : start + 10]):
            found = {k for k, on in alarms(state, mill.package.digest, LIMITS).items() if on}
            newest = state.of_kind(Kind.QUALITY, mill.package.digest)
            failing = bool(newest) and newest[-1].verdicts[Kind.QUALITY].result == Result.ALARM
            clean = clean or (len(newest) > 2 and not failing)
            if newest and not failing:
                assert not found & set(IMITATED)
    assert clean


def test_a_feed_rate_of_one_run_is_compared_and_not_judged(mill: Mill, judge: Judge) -> None:
    state, watch = watching(judge)
    for number in range(2):
        list(watch.rows(mill.offline.frame(mill.recordings["10"], 1000 * number)))
    assert results(state, Kind.DATA) == [Result.UNCALIBRATED]
    verdict = state.windows[0].verdicts[Kind.DATA]
    assert "no calibration: 1 training run at 12 mm/s" in verdict.why
    assert verdict.score > 0


@pytest.mark.parametrize(
    ("volts", "result"), [(0.0, Result.OK), (-0.8, Result.WARNING), (-2.0, Result.ALARM)]
)
def test_a_session_a_little_aside_is_noted_and_one_far_off_is_an_alarm(
    judge: Judge, rows: pd.DataFrame, volts: float, result: Result
) -> None:
    state, watch = watching(judge)
    list(watch.rows(rows.assign(X1_OutputCurrent=rows["X1_OutputCurrent"] + volts)))
    assert set(results(state, Kind.SESSION)) == {result}
    verdict = state.windows[0].verdicts[Kind.SESSION]
    assert (verdict.score > LIMITS.session_notice) == (result != Result.OK)
    assert verdict.threshold == LIMITS.session_excess, "no healthy run stands further off"
    assert ("X1_OutputCurrent is 3" in verdict.why) == (result != Result.OK)


def test_an_alarm_takes_two_of_three_windows_and_the_latest(judge: Judge) -> None:
    verdict = judge.quality(watching(judge)[1]._package("p").quality)[Kind.QUALITY]

    def after(word: str) -> bool:
        meaning = {"a": Result.ALARM, "o": Result.OK, "u": Result.UNCALIBRATED}
        windows = [
            Window(
                id=str(number),
                package="p",
                about="rows",
                rows=1,
                first="",
                last="",
                verdicts={Kind.QUALITY: verdict.model_copy(update={"result": meaning[letter]})},
            )
            for number, letter in enumerate(word)
        ]
        return alarms(State(windows=windows), "p", LIMITS)[Kind.QUALITY]

    assert [word for word in ("a", "ao", "aao", "oa", "oao", "ooa") if after(word)] == []
    assert all(after(word) for word in ("aa", "aoa", "oaa", "auoua", "ooaaa"))
    assert not after("")


def test_another_package_has_windows_of_its_own(judge: Judge, rows: pd.DataFrame) -> None:
    state, watch = watching(judge)
    names = np.where(np.arange(len(rows)) % 2 == 0, "a" * 64, "b" * 64)
    list(watch.rows(rows.assign(package_digest=names)))
    assert {window.package for window in state.windows} == {"a" * 64, "b" * 64}
    for window in state.windows:
        assert window.id.startswith(window.package[:12])
    assert not any(alarms(state, "c" * 64, LIMITS).values())


def test_a_package_without_a_reference_is_counted_and_left_alone(rows: pd.DataFrame) -> None:
    state = State()
    assert not list(Watch(state, lambda digest: None, LIMITS).rows(rows))
    assert state.unreferenced_rows == state.rows == len(rows)


def test_a_run_asked_again_and_again_counts_once(judge: Judge, rows: pd.DataFrame) -> None:
    asked = rows.iloc[[1000] * 600].assign(
        run_id="12", feature_timestamp=rows["answered_at"].iloc[0], is_cutting=None, regime=None
    )
    state, watch = watching(judge)
    assert not list(watch.rows(asked))
    package = next(iter(state.packages.values()))
    assert package.quality.rows == 1, "600 times the same row would look like a dead sensor"
    assert not list(watch.rows(asked.assign(feature_timestamp=rows["answered_at"].iloc[-1])))
    assert package.quality.rows == 2


def test_a_machine_that_never_cuts_is_told(judge: Judge, rows: pd.DataFrame) -> None:
    idle = rows[rows[schema.IS_CUTTING] == False]  # noqa: E712
    many = pd.concat([idle] * (LIMITS.idle_rows // len(idle) + 1))
    state, watch = watching(judge)
    list(watch.rows(many))
    (window,) = state.windows
    assert window.verdicts[Kind.QUALITY].scores[IDLE] == 1
    assert window.verdicts[Kind.QUALITY].result == Result.ALARM


def faulty(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    cutting = rows[rows[schema.IS_CUTTING] == True].iloc[:500]  # noqa: E712
    column = "X1_OutputVoltage"
    some = np.arange(500) % 10 == 0
    yield "stuck", cutting.assign(**{column: 5.0})
    yield "zeros", cutting.assign(**{column: np.where(some, 0.0, cutting[column])})
    yield "out_of_range", cutting.assign(**{column: np.where(some, 900.0, cutting[column])})
    yield "missing", cutting.assign(**{column: np.where(some, np.nan, cutting[column])})


def test_each_fault_of_a_sensor_is_named(judge: Judge, rows: pd.DataFrame) -> None:
    for fault, frame in faulty(rows):
        _, watch = watching(judge)
        closed: list[Closed] = list(watch.rows(frame))
        verdict = closed[-1].window.verdicts[Kind.QUALITY]
        assert verdict.result == Result.ALARM, fault
        assert verdict.scores[fault] == 1, (fault, verdict.why)
        assert "X1_OutputVoltage" in verdict.why


def test_few_wrong_labels_are_chance_and_many_are_not(judge: Judge, rows: pd.DataFrame) -> None:
    exact = replace(judge, accuracy=0.993)
    right = rows[(rows["label"] == schema.UNWORN) & (rows[schema.IS_CUTTING] == True)].iloc[:100]  # noqa: E712
    for wrong, expected in ((2, Result.OK), (5, Result.WARNING), (20, Result.ALARM)):
        state, watch = watching(exact)
        labelled = right.assign(worn=np.arange(100) < wrong)
        (closed,) = watch.labels(labelled)
        verdict = closed.window.verdicts[Kind.CONCEPT]
        assert (verdict.result, verdict.score) == (expected, (100 - wrong) / 100)
        assert state.labelled_rows == 100
