"""Learners, choice within folds, and the test against chance, on small made-up runs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from components.train.export import exported, share_graph
from toolwear.common.thresholds import thresholds
from toolwear.evaluation.held_out import Candidate, nested, out_of_fold
from toolwear.evaluation.permutation import against_chance, permute, run_scores
from toolwear.evaluation.protocols import Fold
from toolwear.model.learners import (
    Rows,
    context,
    logistic,
    majority,
    run_forest,
    run_weights,
    settings_only,
    window_tree,
)

RUNS, WINDOWS = 16, 12


def _made(signal: float, seed: int = 0) -> tuple[Rows, np.ndarray, np.ndarray, list[Fold]]:
    generator = np.random.default_rng(seed)
    index = np.repeat(np.arange(RUNS), WINDOWS)
    label = np.arange(RUNS) % 2
    y = label[index]
    X = generator.normal(size=(len(y), 3)) + generator.normal(size=(RUNS, 3))[index] * 0.3
    X[:, 0] += signal * y
    feed = np.repeat([3.0, 3.0, 6.0, 6.0], RUNS // 4)[index]
    elapsed = np.tile(np.arange(WINDOWS, dtype=float), RUNS)
    rows = Rows(X, np.column_stack([feed, np.full(len(y), 4.0)]), index, elapsed)
    folds = [
        Fold(str(run), np.flatnonzero(index != run), np.flatnonzero(index == run))
        for run in range(RUNS)
    ]
    return rows, y, index, folds


def test_weights_make_runs_and_classes_alike() -> None:
    run = np.repeat(["a", "b", "c"], [10, 1, 5])
    y = np.repeat([0, 1, 1], [10, 1, 5])
    weight = run_weights(y, run)
    assert weight.sum() == pytest.approx(3)
    assert weight[y == 0].sum() == pytest.approx(weight[y == 1].sum())
    assert weight[run == "b"].sum() == pytest.approx(weight[run == "c"].sum())


def test_no_learner_sees_the_run_that_it_judges() -> None:
    rows, y, run, folds = _made(signal=2.0)
    for learner in (window_tree, run_forest(5, 3), logistic, settings_only, context):
        before = out_of_fold(learner, rows, y, run, folds, 0)
        flipped = np.where(run == 4, 1 - y, y)
        after = out_of_fold(learner, rows, flipped, run, folds, 0)
        assert np.array_equal(before[run == 4], after[run == 4])
        assert not np.isnan(before).any()


def test_logistic_is_scikit_learns_where_the_feed_explains_nothing() -> None:
    rows, y, run, _ = _made(signal=1.0)
    same = Rows(rows.X, np.tile([3.0, 4.0], (len(y), 1)), run, rows.elapsed)
    weight = run_weights(y, run)
    p = logistic(same, y, weight, 0)(same)
    centred = rows.X - np.average(rows.X, axis=0, weights=weight)
    scaled = centred / np.sqrt(np.average(centred**2, axis=0, weights=weight))
    other = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(scaled, y, weight)
    assert p == pytest.approx(other.predict_proba(scaled)[:, 1], abs=1e-5)


def test_context_tells_what_comes_late_in_a_recording_and_nothing_else() -> None:
    rows, _, run, folds = _made(signal=0.0)
    late = (rows.elapsed >= WINDOWS / 2).astype(np.int64)
    p = out_of_fold(context, rows, late, run, folds, 0, balanced=False)
    assert np.array_equal(p > 0.5, late == 1)
    unlike = Rows(rows.X + 100, rows.settings, run, rows.elapsed)
    assert np.array_equal(out_of_fold(context, unlike, late, run, folds, 0, False), p)


@pytest.mark.parametrize(
    "learner", [window_tree, run_forest(3, 2), logistic, settings_only, context]
)
def test_one_class_gives_that_class(learner: object) -> None:
    rows, y, run, _ = _made(signal=1.0)
    ones = np.ones_like(y)
    fitted = learner(rows, ones, run_weights(ones, run), 0)  # type: ignore[operator]
    assert (fitted(rows) > 0.9).all()


def test_nested_choice_takes_the_candidate_with_the_signal() -> None:
    rows, y, run, folds = _made(signal=3.0)
    X = np.random.default_rng(1).normal(size=rows.X.shape)
    noise = Rows(X, rows.settings, run, rows.elapsed)
    candidates = [
        Candidate("noise", "logistic", noise, logistic),
        Candidate("signal", "logistic", rows, logistic),
    ]
    p, chosen = nested(candidates, y, run, run, folds, 0)
    assert set(chosen.values()) == {"logistic on signal"}
    assert run_scores(run, np.arange(RUNS) % 2, p) == (RUNS, 1.0)


def _chance(signal: float, count: int = 19) -> dict[str, object]:
    rows, _, run, folds = _made(signal)
    setting = np.repeat(["3/4", "6/4"], RUNS // 2)
    candidates = [
        Candidate("made", "logistic", rows, logistic),
        Candidate("made", "decision_tree", rows, window_tree),
    ]
    told: list[str] = []
    result = against_chance(
        candidates, np.arange(RUNS) % 2, setting, run, {"new_run": folds}, count, 0, told.append
    )
    assert bool(told) == (count > 0)
    return result


def test_a_signal_beats_every_permutation_and_noise_does_not() -> None:
    strong, weak = _chance(signal=4.0), _chance(signal=0.0)
    assert strong["free"]["all"]["runs_correct"]["p"] == 1 / 20  # type: ignore[index]
    assert strong["p"] == 1 / 10  # 9 permutations within settings
    assert 0.1 < weak["p"] <= 1  # type: ignore[operator]
    null = np.array(strong["free"]["all"]["run_auc"]["null"])  # type: ignore[index]
    assert null.mean() < 0.75  # permuted labels give no signal, even the best of two


def test_no_permutations_is_no_test() -> None:
    result = _chance(signal=1.0, count=0)
    assert result["p"] is None
    assert result["free"] == {"permutations": 0}


def test_permuting_within_settings_keeps_each_settings_labels() -> None:
    label = np.array([0, 1, 1, 0, 0, 1])
    group = np.array(["a", "a", "a", "b", "b", "c"])
    generator = np.random.default_rng(0)
    drawn = [permute(label, group, generator) for _ in range(50)]
    for one in drawn:
        assert [one[group == name].sum() for name in "abc"] == [2, 0, 1]
    assert any((one != other).any() for one, other in pairwise(drawn))


def test_majority_says_the_share_of_runs_not_of_rows() -> None:
    rows, y, run, _ = _made(signal=0.0)
    kept = np.flatnonzero((run > 0) | (np.arange(len(run)) == 0))  # run 0 has one row left
    _, length = np.unique(run[kept], return_counts=True)
    weight = np.repeat(1 / length, length)
    p = majority(rows.take(kept), y[kept], weight, 0)(rows.take(kept))
    assert p == pytest.approx(0.5)


def test_a_graph_that_says_something_else_is_our_defect() -> None:
    rows = np.zeros((4, 2))
    with pytest.raises(RuntimeError, match="does not say what its model says"):
        exported(share_graph(0.4, 2), rows, np.full(4, 0.6), thresholds().export)
    _, agreement = exported(share_graph(0.4, 2), rows, np.full(4, 0.4), thresholds().export)
    assert agreement["label_agreement"] == 1
    assert agreement["max_abs_diff"] < 1e-12
