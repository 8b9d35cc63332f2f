"""The search for a column that alone tells the label of unseen runs."""

from __future__ import annotations

import numpy as np
import pytest

from toolwear.evaluation.audit.columns import ColumnResult, held_out_probability, run_auc, scan

RUNS, ROWS = 18, 150
LABEL = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1])
RUN = np.repeat([f"{number:02d}" for number in range(RUNS)], ROWS)
ROW_LABEL = np.repeat(LABEL, ROWS)
LIMIT = 0.95


def noise(columns: int, seed: int) -> np.ndarray:
    """Return columns of noise whose level strays from run to run, as real ones do."""
    generator = np.random.default_rng(seed)
    level = np.repeat(generator.normal(0, 0.5, (RUNS, columns)), ROWS, axis=0)
    return level + generator.normal(0, 1, (RUNS * ROWS, columns))


def judge(values: np.ndarray, seed: int = 0) -> list[ColumnResult]:
    return scan(values, [f"c{n}" for n in range(values.shape[1])], RUN, ROW_LABEL, seed)


def test_an_offset_hidden_in_a_layered_depth_is_found() -> None:
    values = noise(12, seed=3)
    layers = np.tile(np.repeat([29.5, 28.5, 27.5], ROWS // 3), RUNS)
    values[:, 7] = layers + 0.2 * ROW_LABEL
    found = judge(values)
    assert [r.column for r in found if r.leaks(LIMIT)] == ["c7"]
    assert (found[7].run_auc, found[7].runs_right, found[7].runs) == (1.0, 18, 18)
    assert found[7].p_family < 0.01


def test_noise_raises_no_alarm() -> None:
    alarms, luckiest = 0, []
    for seed in range(8):
        found = judge(noise(12, seed), seed)
        alarms += sum(result.leaks(LIMIT) for result in found)
        luckiest.append(min(result.p_family for result in found))
    assert alarms == 0
    # The p-value of the best of 12 columns is that of one test, not of 12.
    assert 0.3 < float(np.median(luckiest)) < 0.8


def test_what_names_the_setting_is_no_leak_but_the_reverse() -> None:
    # Two runs a setting with opposite labels: the run left in always says the other label.
    label = np.tile([0, 1], 6)
    run = np.repeat([f"{n:02d}" for n in range(12)], 50)
    setting = np.repeat(np.arange(12) // 2, 50).astype(float)
    (found,) = scan(setting[:, None], ["setting"], run, np.repeat(label, 50), 0)
    assert (found.run_auc, found.runs_right) == (0.0, 0)


def test_a_constant_knows_nothing() -> None:
    (found,) = judge(np.ones((RUNS * ROWS, 1)))
    assert (found.run_auc, found.runs_right) == (0.5, 0)


def test_a_real_but_moderate_sign_passes() -> None:
    generator = np.random.default_rng(5)
    ripple = 34.6 * np.exp(0.1 * LABEL + generator.normal(0, 0.05, RUNS))
    values = np.repeat(ripple, ROWS) * (1 + generator.normal(0, 0.1, RUNS * ROWS))
    (found,) = judge(values[:, None])
    assert found.run_auc > 0.7
    assert not found.leaks(LIMIT)


def test_ranking_alone_is_no_leak() -> None:
    assert ColumnResult("c", 1.0, 18, 18, 0.01).leaks(LIMIT)
    assert not ColumnResult("c", 1.0, 15, 18, 0.01).leaks(LIMIT)
    assert not ColumnResult("c", 0.94, 18, 18, 0.01).leaks(LIMIT)


def test_one_run_of_a_class_cannot_be_judged() -> None:
    assert scan(np.zeros((4, 1)), ["c"], np.array(list("abcd")), np.array([0, 0, 0, 1]), 0) == []


def test_a_long_run_weighs_no_more_than_a_short_one() -> None:
    generator = np.random.default_rng(0)
    rows = np.repeat(np.arange(RUNS), generator.integers(20, 2000, RUNS))
    run = np.array([f"{n:02d}" for n in range(RUNS)])[rows]
    values = (LABEL[rows] + generator.normal(0, 0.1, rows.size))[:, None]
    (found,) = scan(values, ["c"], run, LABEL[rows], 0)
    assert (found.run_auc, found.runs_right) == (1.0, 18)


def test_probability_and_area_by_hand() -> None:
    shares = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    worn = held_out_probability(shares, np.array([[0.0, 0.0, 1.0, 1.0]]))
    assert worn[0] == pytest.approx([0.005 / 1.01] * 2 + [1.005 / 1.01] * 2, abs=1e-6)
    area = run_auc(np.array([[0.1, 0.5, 0.5, 0.9]]), np.array([[0, 0, 1, 1]]))
    assert area == pytest.approx([3.5 / 4])


def test_a_column_that_moves_as_tools_wear_out_is_no_leak() -> None:
    """Eight tools wear out: their force rises within a set-up, which is not how it was set up."""
    generator = np.random.default_rng(0)
    run = np.repeat([f"{tool:02d}-{stretch}" for tool in range(8) for stretch in (1, 2)], 50)
    label = np.tile(np.repeat([0, 1], 50), 8)
    force = label + generator.normal(0, 0.1, len(label))
    (found,) = scan(force[:, None], ["force"], run, label, seed=0)
    assert (found.run_auc, found.moves, found.may_move) == (1.0, 8, 8)
    assert not found.leaks(0.95)
    # The same values of tools that are each of one class may be how the machine was set up.
    whole = np.repeat([f"{number:02d}" for number in range(16)], 50)
    (found,) = scan(force[:, None], ["force"], whole, label, seed=0)
    assert (found.run_auc, found.may_move) == (1.0, 0)
    assert found.leaks(0.95)
