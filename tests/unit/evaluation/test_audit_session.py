"""The search for columns that mark the recording session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.mill import KEY_COLUMNS
from toolwear.dataset import schema
from toolwear.evaluation.audit.session import fingerprints

RUNS, ROWS, LIMIT = 12, 600, 3.0
SESSION = np.array([0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1])


def recording(seed: int, rows: int = ROWS) -> pd.DataFrame:
    """Six settings, each with an unworn and a worn run; three columns without a mark."""
    generator = np.random.default_rng(seed)
    frames = []
    for run in range(RUNS):
        drift = np.cumsum(generator.normal(0, 0.05, rows))
        ramp = np.mod(5.333 * np.arange(rows) + generator.uniform(0, 4000), 4294.97)
        frames.append(
            pd.DataFrame(
                {
                    schema.RUN_ID: schema.run_id(run),
                    schema.SETTING: f"{run // 2}/4",
                    schema.LABEL: run % 2,
                    schema.TIME_INDEX: np.arange(rows),
                    "noise": generator.normal(0, 1, rows),
                    "drift": drift,
                    "ramp": ramp,
                    "constant": 12.0,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def marked(frame: pd.DataFrame, seed: int, size: float) -> pd.Series:
    """Return a mains voltage: slow drift, rounding, and a level of its own in each session."""
    generator = np.random.default_rng(seed + 100)
    level = np.repeat(325 + size * SESSION, ROWS)
    slow = np.concatenate([0.02 * np.cumsum(generator.normal(0, 0.3, ROWS)) for _ in range(RUNS)])
    return pd.Series(np.round(level + slow + generator.normal(0, 0.4, len(frame)), 1))


def search(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [str(name) for name in frame if name not in KEY_COLUMNS]
    return fingerprints(frame, columns, LIMIT, second=10)


@pytest.mark.parametrize("seed", range(8))
def test_drift_ramps_and_noise_are_no_mark(seed: int) -> None:
    assert search(recording(seed)) == []


@pytest.mark.parametrize("seed", range(4))
def test_the_mains_voltage_is_found(seed: int) -> None:
    frame = recording(seed)
    frame["bus"] = marked(frame, seed, size=2.0)
    (found,) = search(frame)
    assert found["column"] == "bus"
    assert 4 < found["effect_sd"] < 6
    # Settings whose two runs fall in different sessions.
    assert set(found["settings"]) == {"1/4", "3/4", "4/4", "5/4"}


def test_a_noisy_column_that_follows_the_mark_is_named_with_it() -> None:
    frame = recording(1)
    frame["bus"] = marked(frame, 1, size=2.0)
    frame["noisy"] = frame["bus"] - 5 + np.random.default_rng(9).normal(0, 2, len(frame))
    found = search(frame)
    assert [(item["column"], item["moves_with"]) for item in found] == [
        ("bus", None),
        ("noisy", "bus"),
    ]
    assert found[1]["effect_sd"] < LIMIT


def test_a_shift_that_always_follows_the_wear_is_not_called_a_session() -> None:
    frame = recording(2)
    frame["load"] = frame["noise"] + 5.0 * frame[schema.LABEL]
    assert search(frame) == []


def test_a_constant_of_each_run_is_a_mark() -> None:
    frame = recording(0)
    frame["offset"] = np.repeat(np.where(SESSION == 1, 7.0, 3.0), ROWS)
    assert [item["column"] for item in search(frame)] == ["offset"]


def test_without_a_repeated_setting_nothing_can_be_compared() -> None:
    frame = recording(0)
    frame["bus"] = marked(frame, 0, size=2.0)
    assert search(frame.assign(**{schema.SETTING: frame[schema.RUN_ID]})) == []
