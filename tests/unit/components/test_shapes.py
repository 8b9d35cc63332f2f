"""Keys of a recording by which its copies are known."""

from __future__ import annotations

import numpy as np
import pytest

from components.guard.runs import RunFacts
from components.guard.shapes import scores, turns
from toolwear.common.errors import ToolwearError


def _noise(signals: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2000, signals))


@pytest.mark.parametrize("signals", [1, 2, 5, 18, 40])
def test_two_recordings_have_hardly_a_turn_in_common_however_few_signals_they_have(
    signals: int,
) -> None:
    one, other = turns(_noise(signals, 0)), turns(_noise(signals, 1))
    assert len(one) > 1000
    assert np.isin(one, other).mean() < 0.01


@pytest.mark.parametrize("signals", [2, 5, 18])
def test_a_scaled_and_shifted_copy_has_all_turns_in_common(signals: int) -> None:
    recorded = _noise(signals, 0)
    assert np.isin(turns(recorded * 2.54 + 7), turns(recorded)).all()


def test_few_signals_have_no_scores() -> None:
    assert len(scores(_noise(5, 0))) == 0
    assert len(scores(_noise(18, 0))) > 1000


def test_a_recording_of_few_rows_has_no_keys() -> None:
    assert len(turns(np.zeros((3, 5)))) == 0


def test_what_another_version_kept_of_a_recording_is_told_in_a_sentence() -> None:
    with pytest.raises(ToolwearError, match="another version"):
        RunFacts.from_json({"run_id": "01", "label": 1, "feedrate": 6})
