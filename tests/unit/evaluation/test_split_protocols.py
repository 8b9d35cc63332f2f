"""The three protocols."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.evaluation.audit.separation import violations
from toolwear.evaluation.protocols import Fold, assign, folds
from toolwear.evaluation.questions import why_left_out


@dataclass(frozen=True)
class Held:
    frame: pd.DataFrame


def keys(runs: int = 6, rows: int = 40) -> pd.DataFrame:
    """Six runs in three settings; the first ten rows of each run are in no layer phase."""
    frame = pd.DataFrame(
        [
            (schema.sample_id(schema.run_id(run), row), schema.run_id(run), row, f"{run // 2}/4")
            for run in range(runs)
            for row in range(rows)
        ],
        columns=[schema.SAMPLE_ID, schema.RUN_ID, schema.ROW, schema.SETTING],
    )
    return frame.assign(**{schema.IS_ACTIVE: frame[schema.ROW] >= 10})


def test_known_runs_holds_back_a_fifth_of_the_active_rows() -> None:
    frame = keys()
    (fold,) = folds(schema.KNOWN_RUNS, Held(frame), assign(frame))
    assert (fold.train_index.size, fold.test_index.size) == (144, 36)
    assert not np.intersect1d(fold.train_index, fold.test_index).size
    both = np.concatenate([fold.train_index, fold.test_index])
    assert frame[schema.IS_ACTIVE].to_numpy()[both].all()


@pytest.mark.parametrize(
    ("protocol", "column", "count"),
    [(schema.NEW_RUN, schema.RUN_ID, 6), (schema.NEW_SETTING, schema.SETTING, 3)],
)
def test_group_protocols_hold_back_whole_groups(protocol: str, column: str, count: int) -> None:
    frame = keys()
    found = folds(protocol, Held(frame), assign(frame))
    assert [fold.name for fold in found] == list(frame[column].unique())
    assert len(found) == count
    for fold in found:
        assert set(frame[column].iloc[fold.test_index]) == {fold.name}
        assert fold.name not in set(frame[column].iloc[fold.train_index])
    assert violations(protocol, found, frame) == []


def test_samples_are_found_by_their_id_in_any_order_and_selection() -> None:
    frame = keys()
    splits = assign(frame)
    chosen = frame.sample(frac=0.3, random_state=1).reset_index(drop=True)
    (fold,) = folds(schema.KNOWN_RUNS, Held(chosen), splits.sample(frac=1, random_state=2))
    test = set(splits[schema.SAMPLE_ID][splits[schema.KNOWN_RUNS] == "test"])
    assert set(chosen[schema.SAMPLE_ID].iloc[fold.test_index]) == test & set(
        chosen[schema.SAMPLE_ID]
    )


@pytest.mark.parametrize("protocol", schema.PROTOCOLS)
def test_a_sample_the_split_does_not_know_is_refused(protocol: str) -> None:
    frame = keys()
    splits = assign(frame).iloc[1:]
    with pytest.raises(ToolwearError, match="does not know the sample 00:0; make the split anew"):
        folds(protocol, Held(frame), splits)


def test_data_without_a_layer_phase_is_refused() -> None:
    frame = keys().assign(**{schema.IS_ACTIVE: False})
    with pytest.raises(ToolwearError, match="No row is in a phase that is judged"):
        assign(frame)


def moved(fold: Fold, position: int) -> Fold:
    """Return the fold with one test sample in training too."""
    return Fold(fold.name, np.append(fold.train_index, position), fold.test_index)


@pytest.mark.parametrize(
    ("protocol", "sentence"),
    [
        (schema.KNOWN_RUNS, "fold published: row 00:"),
        (schema.NEW_RUN, "fold 00: run 00 is in training and in test"),
        (schema.NEW_SETTING, "fold 0/4: setting 0/4 is in training and in test"),
    ],
)
def test_a_broken_promise_is_seen(protocol: str, sentence: str) -> None:
    frame = keys()
    found = folds(protocol, Held(frame), assign(frame))
    assert violations(protocol, found, frame) == []
    broken = [moved(found[0], int(found[0].test_index[0])), *found[1:]]
    (said,) = violations(protocol, broken, frame)
    assert sentence in said


def test_a_run_that_is_split_over_two_folds_is_seen() -> None:
    frame = keys()
    found = folds(schema.NEW_RUN, Held(frame), assign(frame))
    half = Fold("00", np.setdiff1d(np.arange(len(frame)), np.arange(20)), np.arange(20))
    said = violations(schema.NEW_RUN, [half, *found[1:]], frame)
    assert "run 00 is in training and in test" in said[0]
    assert "20 samples are not tested once" in said[1]


def test_empty_halves_and_twice_named_samples_are_seen() -> None:
    frame = keys(runs=2)
    everything = np.arange(len(frame))
    said = violations(schema.KNOWN_RUNS, [Fold("published", everything, everything[:0])], frame)
    assert said == ["known_runs, fold published: one half is empty"]
    twice = frame.assign(**{schema.SAMPLE_ID: "00:0"})
    assert "two samples have the same sample_id" in violations(schema.NEW_RUN, [], twice)[0]


def labelled(rows: list[tuple[str, str, int, bool]]) -> Held:
    """Return samples of (run, setting, label, is active), four of each."""
    frame = pd.DataFrame(
        [row for row in rows for _ in range(4)],
        columns=[schema.RUN_ID, schema.SETTING, schema.LABEL, schema.IS_ACTIVE],
    )
    names = [schema.sample_id(run, row) for row, run in enumerate(frame[schema.RUN_ID])]
    return Held(frame.assign(**{schema.SAMPLE_ID: names}))


def left_out(rows: list[tuple[str, str, int, bool]]) -> dict[str, str]:
    held = labelled(rows)
    splits = assign(held.frame)
    reasons = {
        protocol: why_left_out(protocol, held, folds(protocol, held, splits))
        for protocol in schema.PROTOCOLS
    }
    return {protocol: reason for protocol, reason in reasons.items() if reason}


@pytest.mark.parametrize(
    ("rows", "reasons"),
    [
        pytest.param(
            [("1", "6/4", 0, True), ("2", "6/4", 1, True)] * 3
            + [("3", "3/4", 0, True), ("4", "3/4", 1, True)],
            {},
            id="both classes in two runs and two settings",
        ),
        pytest.param(
            [("1", "6/4", 0, True), ("2", "3/4", 1, True)] * 3
            + [("3", "6/3", 0, True), ("4", "3/3", 1, True)],
            {},
            id="all settings distinct",
        ),
        pytest.param(
            [("1", "6/4", 0, True), ("2", "6/4", 1, True)] * 3
            + [("3", "6/4", 0, True), ("4", "6/4", 1, True)],
            {schema.NEW_SETTING: "All runs have the same setting (6/4), so none can be left out"},
            id="one setting",
        ),
        pytest.param(
            [("1", schema.NO_SETTING, 0, True), ("2", schema.NO_SETTING, 1, True)] * 3
            + [("3", schema.NO_SETTING, 0, True), ("4", schema.NO_SETTING, 1, True)],
            {schema.NEW_SETTING: "Nothing is set for these recordings"},
            id="nothing is set",
        ),
        pytest.param(
            [("1", "6/4", 0, True), ("2", "6/4", 1, True)] * 3
            + [("3", "3/4", 1, True), ("4", "3/3", 1, True)],
            {
                schema.NEW_RUN: "Only the run 1 has rows with unworn tools; once it is left out, "
                "all rows to learn from are worn. Two runs of each class are needed.",
                schema.NEW_SETTING: "Only the setting 6/4 has rows with unworn tools",
            },
            id="one run of a class",
        ),
        pytest.param(
            [("1", "6/4", 0, True), ("2", "20/4", 1, True)] * 3
            + [("3", "6/3", 0, True), ("4", "20/4", 1, True)],
            {schema.NEW_SETTING: "Only the setting 20/4 has rows with worn tools; once it is"},
            id="a class at one setting",
        ),
        pytest.param(
            [("1", "6/4", 0, True), ("2", "3/4", 0, True)] * 3
            + [("3", "6/4", 1, False), ("4", "3/4", 1, False)],
            {schema.KNOWN_RUNS: "None of the 19 training rows of the random split is worn"},
            id="a class without an active row",
        ),
        pytest.param(
            [("1", "6/4", 0, True), ("2", "3/4", 0, True)] * 3,
            {
                schema.KNOWN_RUNS: "None of the 19 training rows",
                schema.NEW_RUN: "No run with worn tools has a row to judge",
                schema.NEW_SETTING: "No run with worn tools has a row to judge",
            },
            id="a class without a sample",
        ),
    ],
)
def test_a_question_that_the_samples_cannot_carry_is_left_out(
    rows: list[tuple[str, str, int, bool]], reasons: dict[str, str]
) -> None:
    found = left_out(rows)
    assert set(found) == set(reasons)
    assert all(found[protocol].startswith(words) for protocol, words in reasons.items())


def test_no_sample_carries_no_question_about_runs() -> None:
    held = labelled([("1", "6/4", 0, True)])
    none = Held(held.frame.iloc[:0])
    for protocol in (schema.NEW_RUN, schema.NEW_SETTING):
        assert why_left_out(protocol, none, folds(protocol, none, assign(held.frame))).startswith(
            "No run has a full window of cutting rows"
        )
