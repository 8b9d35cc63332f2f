"""The test over recordings, and what it compares the served model's search with."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.evaluate.context import against_context, sentence
from toolwear.dataset import schema
from toolwear.evaluation.paired import better
from toolwear.evaluation.questions import asked_of

ROWS = 10  # of each recording


def shares(ours: list[int], theirs: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of which so many are right in each recording."""
    place = np.arange(ROWS)
    right = [np.concatenate([place < n for n in counts]) for counts in (ours, theirs)]
    return right[0], right[1], np.repeat(np.arange(len(ours)), ROWS)


@settings(max_examples=100, deadline=None)
@example([(6, 4), (1, 0), (0, 3)])
@given(st.lists(st.tuples(st.integers(0, ROWS), st.integers(0, ROWS)), min_size=1, max_size=8))
def test_p_is_the_share_of_signs_that_do_as_well(pairs: list[tuple[int, int]]) -> None:
    ours, theirs = (list(column) for column in zip(*pairs, strict=True))
    found = better(*shares(ours, theirs), seed=0)
    gain = np.subtract(ours, theirs)
    signs = np.array(list(product((-1, 1), repeat=len(gain))))
    assert found["p"] == pytest.approx(float(((signs @ gain) >= gain.sum()).mean()))
    assert found["exact"]
    assert found["difference"] == pytest.approx(gain.mean() / ROWS)
    assert (found["more"], found["fewer"]) == (int((gain > 0).sum()), int((gain < 0).sum()))


def test_a_long_recording_counts_as_one() -> None:
    # Right on all rows of one long recording more, wrong on those of three short ones.
    ours = np.concatenate([np.ones(1000), np.zeros(30)]).astype(bool)
    unit = np.repeat([0, 1, 2, 3], [1000, 10, 10, 10])
    assert better(ours, ~ours, unit, seed=0)["difference"] == -0.5


def test_equally_good_models_are_called_better_as_seldom_as_is_said() -> None:
    generator = np.random.default_rng(0)
    called = 0
    for number in range(200):
        skill = generator.integers(0, ROWS + 1, size=12)  # of both, from recording to recording
        ours, theirs = (generator.binomial(ROWS, skill / ROWS) for _ in range(2))
        found = better(*shares(ours.tolist(), theirs.tolist()), seed=number)
        called += found["p"] < 0.05
    assert called <= 16  # a true 5 % is above that in 2 of 100 tries


def test_many_recordings_are_tested_by_drawn_signs_that_a_seed_repeats() -> None:
    generator = np.random.default_rng(0)
    ours = generator.integers(0, ROWS + 1, size=40).tolist()
    theirs = generator.integers(0, ROWS, size=40).tolist()
    found = better(*shares(ours, theirs), seed=3)
    assert not found["exact"]
    assert found == better(*shares(ours, theirs), seed=3)


def table(model: str, p: np.ndarray, y: np.ndarray, run: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "protocol": schema.NEW_RUN,
            "feature_set": schema.PUBLISHED,
            "model": model,
            schema.SAMPLE_ID: [f"{name}:{row}" for row, name in enumerate(run)],
            schema.RUN_ID: run,
            "y": y,
            "p": p,
        }
    )


def judged(recordings: int, kept: int) -> pd.DataFrame:
    """Return predictions on recordings whose second stretch is worn; the search judged `kept`."""
    run = [f"{n:02}-{s}" for n in range(recordings) for s in (1, 2) for _ in range(ROWS)]
    y = np.tile(np.repeat([0, 1], ROWS), recordings)
    rows = kept * 2 * ROWS
    return pd.concat(
        [
            table(schema.MAJORITY, np.full(len(y), 0.2), y, run),
            table(schema.CONTEXT, np.where(np.arange(len(y)) % 4, y, 0), y, run),
            table(schema.RANDOM_FOREST, 1.0 - y, y, run),
            table(schema.AUTO_SKLEARN, y[:rows] * 0.9, y[:rows], run[:rows]),
        ]
    )


def test_the_search_has_to_beat_the_strongest_of_what_needs_no_telemetry() -> None:
    found = against_context(judged(6, 6), schema.PUBLISHED, seed=0)
    assert set(found["against"]) == {schema.MAJORITY, schema.CONTEXT}
    assert found["strongest"]["model"] == schema.CONTEXT
    assert (found["recordings"], found["there_are"], found["accuracy"]) == (6, 6, 1.0)
    assert found["p"] == 1 / 2**6
    told = sentence(found, level=0.05)
    assert "On 6 of 6 recordings" in told
    assert "settings and elapsed time comes closest" in told
    assert "better than context alone (largest p = 0.016" in told
    assert "not shown to be better" in sentence(found, level=0.01)


def test_one_recording_left_out_shows_nothing() -> None:
    found = against_context(judged(6, 1), schema.PUBLISHED, seed=0)
    assert (found["recordings"], found["there_are"], found["p"]) == (1, 6, 0.5)


def test_figures_of_another_feature_set_are_not_compared() -> None:
    found = against_context(judged(6, 6), schema.RESPONSE, seed=0)
    assert found["p"] is None
    assert sentence(found, 0.05) == ""


@pytest.mark.parametrize("passed", [True, False])
def test_what_is_served_is_asked_about_unless_it_leaks(passed: bool) -> None:
    verdicts = {name: {schema.PUBLISHED: {"passed": passed}} for name in schema.PROTOCOLS}
    asked = asked_of(verdicts)
    assert asked[schema.KNOWN_RUNS] == schema.PUBLISHED
    assert asked[schema.NEW_RUN] == (schema.PUBLISHED if passed else schema.RESPONSE)
