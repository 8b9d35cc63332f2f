"""The three protocols."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from components.core import schema
from components.core.errors import ToolwearError
from components.split.audit_separation import violations
from components.split.protocols import Fold, assign, folds


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
    with pytest.raises(ToolwearError, match="No row is in a layer phase"):
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
