"""What the automatic search does before and after auto-sklearn: requests, folds, gate, progress."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import DecisionTreeClassifier

from toolwear.automl import progress, space
from toolwear.automl.export.ensemble import Member, weighted_mean
from toolwear.automl.export.gate import Limit, export_ensemble
from toolwear.automl.export.size import Cut, shrink
from toolwear.automl.logic import divide, group_folds
from toolwear.automl.request import Request
from toolwear.common.errors import ToolwearError
from toolwear.evaluation.protocols import Fold
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.onnx_trees import tree_nodes

LIMIT = Limit(label_agreement=1.0, max_abs_diff=1e-5, tree_nodes=1000)


def request(**changes: Any) -> Request:
    values: dict[str, Any] = {
        **dict.fromkeys(("features", "split", "output", "scratch"), Path("/nowhere")),
        "seed": 0,
        "seconds": 300,
        "evaluations": 0,
        "memory_mb": 6000,
        "cores": 2,
        "dask": "",
        "outer_folds": 4,
        "outer_seconds": 30,
    }
    return Request(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seconds": 5}, "A search of 5 s ends before its first evaluation; raise seconds to 10"),
        ({"outer_seconds": 9}, "raise outer_seconds to 10 or more"),
        ({"memory_mb": 500}, "500 MiB for 1 evaluation.* raise memory_mb to 2500"),
        ({"memory_mb": 6000, "cores": 4}, "6000 MiB for 3 .* raise memory_mb to 7500"),
        ({"cores": 0}, "at least 1 core"),
        ({"evaluations": 1}, "raise evaluations to 2"),
        ({"outer_folds": -1}, "outer_folds must be 0 or more"),
    ],
)
def test_a_request_that_cannot_work_is_refused(changes: dict[str, int], sentence: str) -> None:
    with pytest.raises(ToolwearError, match=sentence):
        request(**changes)


def test_a_request_survives_the_way_to_the_other_interpreter(tmp_path: Path) -> None:
    there = request(seed=7, scratch=tmp_path)
    there.write(tmp_path / "request.json")
    assert Request.read(tmp_path / "request.json") == there


def test_outer_searches_run_beside_the_main_one_unless_the_run_must_be_repeatable() -> None:
    assert (request().concurrent, request().jobs) == (True, 1)
    assert (request(cores=3).concurrent, request(cores=3).jobs) == (True, 2)
    assert (request(cores=1).concurrent, request(cores=1).jobs) == (False, 1)
    assert request(cores=3, dask="tcp://scheduler:8786").jobs == 1
    repeatable = request(cores=4, evaluations=3, seconds=1)
    assert (repeatable.concurrent, repeatable.jobs) == (False, 1)


def test_a_budget_in_evaluations_leaves_time_out_of_the_result() -> None:
    by_count = space.limits(seconds=300, evaluations=4)
    assert by_count.optimizer == {"runcount_limit": 4}
    assert by_count.evaluation >= 3600
    by_time = space.limits(seconds=300, evaluations=0)
    assert (by_time.task, by_time.evaluation) == (300, 30)
    short = space.limits(seconds=12, evaluations=0)
    assert short.evaluation <= short.optimizer["wallclock_limit"] <= 12


def test_parts_hold_back_every_fold_once_and_both_classes() -> None:
    # Folds 0 to 3 hold class 0, 4 to 7 class 1, 8 and 9 both.
    y = np.repeat([0, 1], 12)
    held = [[3 * i] for i in range(4)] + [[12 + 3 * i] for i in range(4)] + [[1, 13], [2, 14]]
    every = np.unique(np.concatenate(held))
    folds = [
        Fold(str(i), np.setdiff1d(every, index), np.array(index)) for i, index in enumerate(held)
    ]
    parts = divide(folds, y, 4, seed=0)
    assert [part.name for part in parts] == [f"part-{number}-of-4" for number in range(1, 5)]
    assert np.array_equal(np.sort(np.concatenate([part.test_index for part in parts])), every)
    for part in parts:
        assert np.array_equal(part.train_index, np.setdiff1d(every, part.test_index))
        assert set(y[part.test_index]) == {0, 1}
    again = divide(folds, y, 4, seed=0)
    assert all(
        np.array_equal(a.test_index, b.test_index) for a, b in zip(parts, again, strict=True)
    )
    drawn = {tuple(divide(folds, y, 4, seed)[0].test_index) for seed in range(5)}
    assert len(drawn) > 1
    (one,) = divide(folds, y, 1, seed=0)
    assert one in folds
    assert divide(folds, y, 0, seed=0) == folds
    assert divide(folds, y, 99, seed=0) == folds


class Constant:
    """Stands for auto-sklearn's dummy: the same probabilities for every row."""

    def __init__(self, worn: float, shift: float = 0.0) -> None:
        self.worn, self.shift = worn, shift

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        # The converter asks for one row; `shift` moves the answer for many.
        worn = self.worn + (self.shift if len(X) > 1 else 0.0)
        return np.tile([1 - worn, worn], (len(X), 1))


class Pipeline:
    """A fitted classifier in a pipeline without preprocessing, shaped as auto-sklearn's."""

    def __init__(self, name: str, component: object) -> None:
        imputer = SimpleNamespace(statistics_=np.zeros(2))
        threshold = SimpleNamespace(get_support=lambda: np.ones(2, dtype=bool))
        steps = {
            "imputation": SimpleNamespace(preprocessor=imputer),
            "variance_threshold": SimpleNamespace(preprocessor=threshold),
            "rescaling": SimpleNamespace(choice=SimpleNamespace(preprocessor="passthrough")),
        }
        numeric = ("numerical_transformer", SimpleNamespace(named_steps=steps), [0, 1])
        transformer = SimpleNamespace(transformers_=[numeric])
        kind = type("NoPreprocessing", (), {})
        nothing = SimpleNamespace(choice=kind(), transform=lambda rows: rows)
        data = SimpleNamespace(
            choice=SimpleNamespace(column_transformer=transformer), transform=lambda rows: rows
        )
        self.named_steps = {
            "data_preprocessor": data,
            "feature_preprocessor": nothing,
            "classifier": SimpleNamespace(choice=component),
        }
        self.config = {"classifier:__choice__": name}

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        classifier = self.named_steps["classifier"].choice
        return getattr(classifier, "estimator", classifier).predict_proba(X)


def test_a_member_without_a_converter_is_left_out_and_the_others_scaled_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    members = [
        Member(0.3, Constant(0.9)),
        Member(0.5, Pipeline("k_nearest_neighbors", Constant(0.0))),
        Member(0.2, Constant(0.4)),
    ]
    rows = np.zeros((5, 2))
    export = export_ensemble(members, rows, LIMIT)
    expected = (0.3 * 0.9 + 0.2 * 0.4) / 0.5
    assert OnnxModel(export.model).worn(rows) == pytest.approx([expected] * 5, abs=1e-15)
    assert export.native[:, 1] == pytest.approx([expected] * 5, abs=1e-15)
    (dropped,) = export.dropped
    assert (dropped.weight, dropped.classifier) == (0.5, "k_nearest_neighbors")
    assert "no exact conversion of the classifier Constant" in dropped.reason
    # Against all three members the loss is told, not hidden: their mean says "unworn".
    assert export.agreement.label_agreement == 1.0
    assert export.agreement.max_abs_diff < 1e-15
    assert export.full_agreement.label_agreement == 0.0
    assert export.full_agreement.max_abs_diff == pytest.approx(expected - 0.35)
    assert "left out" in capsys.readouterr().out


def test_a_member_that_differs_is_left_out_with_how_much() -> None:
    members = [Member(0.5, Constant(0.9)), Member(0.5, Constant(0.9, shift=0.01))]
    export = export_ensemble(members, np.zeros((5, 2)), LIMIT)
    assert [member.reason for member in export.dropped] == ["probabilities differ by up to 0.01"]
    assert export.kept == members[:1]


def test_a_label_that_flips_within_the_tolerance_is_not_let_through() -> None:
    members = [Member(0.5, Constant(0.5, shift=1e-6)), Member(0.5, Constant(0.2))]
    alone = export_ensemble(members, np.zeros((5, 2)), LIMIT)
    assert alone.dropped == []  # together they are far from one half
    with pytest.raises(RuntimeError, match="No member of the ensemble can be exported"):
        export_ensemble(members[:1], np.zeros((5, 2)), LIMIT)


ROWS = np.random.default_rng(0).normal(size=(300, 2)).round(2)
LABELS = (ROWS[:, 0] * ROWS[:, 1] > 0).astype(int)


def forest(weight: float, trees: int) -> Member:
    estimator = ExtraTreesClassifier(trees, min_samples_leaf=9, random_state=trees).fit(
        ROWS, LABELS
    )
    component = type("ExtraTreesClassifier", (), {"estimator": estimator})()
    return Member(weight, Pipeline("extra_trees", component))


def tree(weight: float) -> Member:
    estimator = DecisionTreeClassifier(random_state=0).fit(ROWS, LABELS)
    component = type("DecisionTree", (), {"estimator": estimator})()
    return Member(weight, Pipeline("decision_tree", component))


def nodes(member: Member) -> int:
    estimator = member.pipeline.named_steps["classifier"].choice.estimator
    return sum(
        part.tree_.node_count for part in getattr(estimator, "estimators_", None) or [estimator]
    )


def test_a_forest_that_is_too_large_keeps_its_first_trees() -> None:
    members = [forest(0.6, 80), forest(0.1, 60), tree(0.3)]
    small = forest(0.6, 80)
    whole = weighted_mean([0.6, 0.1, 0.3], [member.probabilities(ROWS) for member in members])
    limit = sum(map(nodes, members)) - nodes(members[0]) // 5
    export = export_ensemble(members, ROWS, replace(LIMIT, tree_nodes=limit))
    (cut,) = export.cut
    assert (cut.weight, cut.classifier, cut.of) == (0.6, "extra_trees", 80)
    assert export.dropped == []
    # The graph is that of the forest with these trees, and the loss against all of them is told.
    trees = small.pipeline.named_steps["classifier"].choice.estimator.estimators_
    assert 50 < cut.trees < 80
    left_out = trees[cut.trees].tree_.node_count
    del trees[cut.trees :]
    assert (
        tree_nodes(export.model)
        == sum(map(nodes, members))
        == sum(map(nodes, [small, *members[1:]]))
    )
    assert limit - left_out < tree_nodes(export.model) <= limit
    assert np.array_equal(small.probabilities(ROWS), members[0].probabilities(ROWS))
    assert export.agreement.max_abs_diff < 1e-7
    difference = np.abs(OnnxModel(export.model).predict_proba(ROWS) - whole).max()
    assert export.full_agreement.max_abs_diff == difference > 1e-3


def test_where_fewer_trees_are_not_enough_the_largest_member_goes_but_never_the_last() -> None:
    members = [forest(0.6, 80), tree(0.4)]
    export = export_ensemble(members, ROWS, replace(LIMIT, tree_nodes=nodes(members[1])))
    assert [cut.trees for cut in export.cut] == [50]
    assert [member.classifier for member in export.dropped] == ["extra_trees"]
    assert "more than" in export.dropped[0].reason
    assert export.kept == members[1:]
    alone = [tree(1.0)]
    assert shrink(alone, 1) == ([], [])
    assert shrink([forest(1.0, 60)], 1) == ([Cut(1.0, "extra_trees", 50, 60)], [])


def test_weights_are_scaled_to_one() -> None:
    mean = weighted_mean([1.0, 3.0], [np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])])
    assert mean.tolist() == [[0.25, 0.75]]


def test_progress_says_where_each_search_is(tmp_path: Path) -> None:
    main = progress.Progress(tmp_path, "main search", 300)
    main.tell("starting auto-sklearn")
    other = progress.Progress(tmp_path, "outer search 1 of 2 (new_setting 6/2.5)")
    other.evaluated(2147483647.0, succeeded=False, members=1)
    first, second = progress.lines(tmp_path)
    assert first == "main search: 0 of 300 s, starting auto-sklearn"
    assert second.endswith("(new_setting 6/2.5): 0 s, 1 evaluations, none in time, 1 member(s)")
    main.evaluated(0.25, succeeded=True, members=2)
    other.done()
    (line,) = progress.lines(tmp_path)
    assert line.endswith("1 evaluations, best log loss 0.2500, 2 member(s)")


def test_inner_folds_keep_groups_whole_and_hold_both_classes() -> None:
    groups = np.repeat([f"{run:02d}" for run in range(1, 18)], np.arange(17) * 5 + 8)
    labels = np.repeat(np.arange(17) % 2, np.arange(17) * 5 + 8)
    folds = group_folds(labels, groups, 3)
    assert folds is not None
    assert len(set(zip(groups, folds, strict=True))) == 17
    for number in range(3):
        share = labels[folds == number].mean()
        assert 0.3 < share < 0.7
        assert 0.2 < np.mean(folds == number) < 0.5


def test_inner_folds_follow_the_rarer_class_and_give_up_on_a_single_group() -> None:
    groups = np.repeat(["a", "b", "c", "d"], 10)
    folds = group_folds(np.repeat([0, 1, 0, 1], 10), groups, 3)
    assert folds is not None
    assert set(folds) == {0, 1}
    assert group_folds(np.repeat([0, 0, 0, 1], 10), groups, 3) is None
    assert group_folds(np.repeat([0, 0, 0, 0], 10), groups, 3) is None
