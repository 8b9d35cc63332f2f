"""The decision: a named test for each outcome, the comparison, what a model may be used for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from components.decide.evidence import on_new_runs
from toolwear.common.thresholds import Decision, thresholds
from toolwear.dataset import schema
from toolwear.model.footprint import Footprint, measure
from toolwear.model.onnx_graph import to_bytes
from toolwear.model.onnx_trees import forest_model
from toolwear.release import gate as logic
from toolwear.release.comparison import Comparison, compare
from toolwear.release.decisions import KNOWN_RUNS_ONLY, NEW_RUNS, Outcome
from toolwear.release.gate import Check, Shown

LIMITS: Decision = thresholds().decision
MIB_PER_NODE = 0.48 / 1024  # of a tree, as thresholds.yaml counts
PASSED = logic.holds("Everything", True, Outcome.REFUSE_DATA, "")


def compared(low: float, high: float) -> Comparison:
    return Comparison(
        challenger=0.99,
        champion=0.99 - (low + high) / 2,
        difference=(low + high) / 2,
        interval=(low, high),
        rows=3504,
        runs=18,
        left_out=0,
        fair=True,
        per_run={},
    )


def choose(
    comparison: Comparison | None, checks: Sequence[Check] = (PASSED,), **facts: Any
) -> tuple[Outcome, list[str]]:
    known = {"same_model": False, "new_data": False, **facts}
    return logic.choose(checks, comparison, LIMITS, **known)


def test_promote_first_when_there_is_no_champion() -> None:
    outcome, reasons = choose(None)
    assert outcome is Outcome.PROMOTE_FIRST
    assert outcome.promotes
    assert reasons == ["All checks passed, and there is no champion yet."]


def test_promote_better_when_the_interval_is_above_zero() -> None:
    outcome, reasons = choose(compared(0.001, 0.003))
    assert outcome is Outcome.PROMOTE_BETTER
    assert "+0.0020 (95% interval over runs +0.0010 to +0.0030)" in reasons[0]
    assert "3,504 rows of 18 runs" in reasons[0]


def test_promote_newer_when_it_knows_other_data_and_is_not_worse() -> None:
    outcome, reasons = choose(compared(-0.004, 0.002), new_data=True)
    assert outcome is Outcome.PROMOTE_NEWER
    assert reasons[-1] == "The challenger knows other data and is not worse by more than 0.005."


def test_keep_below_best_when_the_best_there_has_been_may_be_much_better() -> None:
    """Newer and no worse than the champion is not enough: the loss from the best is bounded."""
    near, best = compared(-0.004, 0.002), compared(-0.012, -0.004)
    outcome, reasons = choose(near, new_data=True, best=best)
    assert outcome is Outcome.KEEP_BELOW_BEST
    assert not outcome.promotes
    assert "the best champion that there has been in 0.9980: a difference of -0.0080" in reasons[0]
    assert "worse by more than 0.01" in reasons[1]
    on_the_bound = compared(-LIMITS.best_champion_margin, 0.0)
    assert choose(near, new_data=True, best=on_the_bound)[0] is Outcome.PROMOTE_NEWER
    # Better than the champion that is served is better, whatever there was before.
    assert choose(compared(0.001, 0.003), new_data=True, best=best)[0] is Outcome.PROMOTE_BETTER


def test_equal_newer_models_may_not_walk_the_accuracy_down() -> None:
    """Each is worse than the one before by less than the margin, every one on newer data."""
    runs, size = np.repeat([f"{i:02d}" for i in range(18)], 500), 500
    places = np.tile(np.arange(size), 18)

    def right(generation: int) -> np.ndarray:
        return places >= 2 * generation  # 0.4 points of each run lost by a generation

    champion, outcomes = 0, []
    for generation in range(1, 10):
        outcome, _ = choose(
            compare(right(generation), right(champion), runs, 0),
            new_data=True,
            best=compare(right(generation), right(0), runs, 0),
        )
        outcomes.append(outcome)
        champion = generation if outcome.promotes else champion
    assert outcomes[:2] == [Outcome.PROMOTE_NEWER] * 2
    assert not any(outcome.promotes for outcome in outcomes[2:])
    assert outcomes[2] is Outcome.KEEP_BELOW_BEST
    lost = right(0).mean() - right(champion).mean()
    assert 0 < lost <= LIMITS.best_champion_margin


def test_a_check_without_an_outcome_refuses_nothing_and_is_told() -> None:
    check = logic.at_least("Faithful rows", 0.0, 0.5, None)
    assert choose(None, [PASSED, check])[0] is Outcome.PROMOTE_FIRST
    assert logic.withheld([PASSED, check]) == [
        "Faithful rows is 0; at least 0.5 is needed. The method is not to be relied on."
    ]
    assert logic.withheld([logic.at_least("Faithful rows", 0.5, 0.5, None)]) == []


def test_keep_tie_on_the_same_data() -> None:
    outcome, reasons = choose(compared(-0.001, 0.002))
    assert outcome is Outcome.KEEP_TIE
    assert not outcome.promotes
    assert reasons[-1] == "On the same data a tie is no reason to change."


def test_keep_tie_when_other_data_may_have_made_it_worse() -> None:
    outcome, reasons = choose(compared(-0.006, 0.004), new_data=True)
    assert outcome is Outcome.KEEP_TIE
    assert "may be worse by more than 0.005" in reasons[-1]


@pytest.mark.parametrize("new_data", [False, True])
def test_keep_worse_when_the_interval_is_below_zero(new_data: bool) -> None:
    assert choose(compared(-0.02, -0.01), new_data=new_data)[0] is Outcome.KEEP_WORSE


def test_an_unfair_comparison_says_so() -> None:
    unfair = dataclasses.replace(compared(0.001, 0.003), fair=False)
    assert "3,504 rows of 18 runs that the champion was trained on" in choose(unfair)[1][0]


def test_keep_same_when_it_is_the_champion() -> None:
    assert choose(compared(0, 0), same_model=True)[0] is Outcome.KEEP_SAME
    assert choose(compared(0, 0), same_model=True, new_data=True)[0] is Outcome.KEEP_SAME


def test_refuse_nan_for_a_figure_and_for_an_answer() -> None:
    good = np.array([0.0, 0.5, 1.0])
    assert logic.all_finite({"accuracy": 0.9}, good).passed
    for figures, answers in (
        ({"accuracy": None}, good),
        ({"accuracy": float("nan")}, good),
        ({"accuracy": 0.9}, np.array([0.5, np.nan])),
        ({"accuracy": 0.9}, np.array([0.5, 1.01])),
    ):
        check = logic.all_finite(figures, answers)
        assert choose(None, [check])[0] is Outcome.REFUSE_NAN
    assert "1 of 2 answers are not probabilities" in check.sentence


@pytest.mark.parametrize(
    ("challenger", "says"),
    [
        (("a", "b", "c"), "it adds c"),
        (("a",), "it leaves out b"),
        (("a", "c"), "it adds c and it leaves out b"),
        (("b", "a"), "it has them in another order"),
    ],
)
def test_refuse_schema_changed(challenger: tuple[str, ...], says: str) -> None:
    check = logic.same_interface(challenger, ("a", "b"))
    outcome, reasons = choose(None, [check])
    assert outcome is Outcome.REFUSE_SCHEMA_CHANGED
    assert says in reasons[0]
    assert "register it under another model_name" in reasons[0]
    assert logic.same_interface(["a", "b"], ("a", "b")).passed


@pytest.mark.parametrize(
    ("check", "outcome"),
    [
        (
            logic.at_least("Agreement", 0.9999, 1.0, Outcome.REFUSE_EXPORT),
            Outcome.REFUSE_EXPORT,
        ),
        (
            logic.at_least("Accuracy", 0.98 - 1e-9, 0.98, Outcome.REFUSE_THRESHOLD),
            Outcome.REFUSE_THRESHOLD,
        ),
        (
            logic.at_most("Labels that noise changes", 0.0011, 0.001, Outcome.REFUSE_BRITTLE),
            Outcome.REFUSE_BRITTLE,
        ),
        (
            logic.at_most("Milliseconds", 5.1, 5.0, Outcome.REFUSE_SLOW),
            Outcome.REFUSE_SLOW,
        ),
        (
            logic.at_most("Error of SHAP", 0.3, 0.25, Outcome.REFUSE_EXPLANATIONS),
            Outcome.REFUSE_EXPLANATIONS,
        ),
        (
            logic.at_least("Fidelity", None, 0.75, Outcome.REFUSE_EXPLANATIONS),
            Outcome.REFUSE_EXPLANATIONS,
        ),
        (
            logic.at_least("LIME's rankings", 0.59, 0.6, Outcome.REFUSE_EXPLANATIONS),
            Outcome.REFUSE_EXPLANATIONS,
        ),
        (
            logic.at_most("Error of SHAP", float("nan"), 0.25, Outcome.REFUSE_EXPLANATIONS),
            Outcome.REFUSE_EXPLANATIONS,
        ),
    ],
)  # fmt: skip
def test_a_refusal_for_each_threshold(check: Check, outcome: Outcome) -> None:
    assert choose(compared(0.1, 0.2), [PASSED, check]) == (outcome, [check.sentence])
    assert not outcome.promotes


@pytest.mark.parametrize(
    ("runs", "rows", "enough"), [(0, 0, False), (1, 199, False), (1, 200, True), (3, 5000, True)]
)
def test_keep_not_enough_new_data(runs: int, rows: int, enough: bool) -> None:
    check = logic.enough_new_data(runs, rows, LIMITS)
    outcome, reasons = choose(compared(0.1, 0.2), [PASSED, check])
    assert (outcome is not Outcome.KEEP_NOT_ENOUGH_NEW_DATA) == enough
    if not enough:
        assert not outcome.promotes
        assert f"{rows} rows of {runs} runs" in reasons[0]


def test_a_value_on_the_threshold_passes() -> None:
    assert logic.at_least("x", 0.98, 0.98, Outcome.REFUSE_THRESHOLD).passed
    assert logic.at_most("x", 5.0, 5.0, Outcome.REFUSE_SLOW).passed


def test_the_gravest_refusal_is_the_decision_and_all_are_told() -> None:
    first = logic.holds("Data", False, Outcome.REFUSE_DATA, "one failed")
    second = logic.at_most("Milliseconds", 9.0, 5.0, Outcome.REFUSE_SLOW)
    outcome, reasons = choose(None, [first, PASSED, second])
    assert outcome is Outcome.REFUSE_DATA
    assert reasons == ["Data: one failed.", "Milliseconds is 9; at most 5 is needed."]


def test_words_of_outcomes_are_never_renamed() -> None:
    assert {outcome.value for outcome in Outcome} >= {
        "promote_first",
        "promote_better",
        "promote_newer",
        "keep_same",
        "keep_tie",
        "keep_worse",
        "refuse_nan",
        "refuse_schema_changed",
        "refuse_export",
        "refuse_data",
        "refuse_threshold",
        "refuse_slow",
        "refuse_too_large",
        "refuse_brittle",
        "refuse_explanations",
        "refuse_poisoned",
        "refuse_by_person",
        "serve_check_failed",
        "keep_not_enough_new_data",
        "keep_below_best",
    }


# --- the comparison ---------------------------------------------------------------------------


def test_equal_answers_have_a_difference_of_zero_without_doubt() -> None:
    right = np.array([True, False, True, True])
    found = compare(right, right, np.array(["1", "1", "2", "2"]), 0)
    assert (found.difference, found.interval) == (0.0, (0.0, 0.0))


def test_the_interval_counts_runs_not_rows() -> None:
    """One run in ten that is all wrong is no proof, however many rows it has."""
    runs = np.repeat([f"{i:02d}" for i in range(10)], 1000)
    champion = runs != "03"
    found = compare(np.ones(10_000, bool), champion, runs, 0)
    assert found.difference == pytest.approx(0.1)
    assert found.interval[0] == 0.0
    assert found.per_run["03"] == (1.0, 0.0, 1000)
    everywhere = np.tile([True] * 9 + [False], 1000)
    clear = compare(np.ones(10_000, bool), everywhere, runs, 0)
    assert clear.interval[0] > 0.09


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.sampled_from("abcd")), min_size=1, max_size=60
    )
)
def test_the_difference_lies_in_bounds_and_changes_sign_with_the_sides(
    answers: list[tuple[bool, bool, str]],
) -> None:
    ours, theirs, runs = (np.array(column) for column in zip(*answers, strict=True))
    one = compare(ours, theirs, runs, 3)
    other = compare(theirs, ours, runs, 3)
    assert one.difference == pytest.approx(one.challenger - one.champion)
    assert -1 <= one.interval[0] <= one.interval[1] <= 1
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))


# --- what for ---------------------------------------------------------------------------------


ENOUGH: dict[str, Any] = {"lower_bound": 0.61, "context_p": 0.01, "permutation_p": 0.01}


def test_use_for_new_runs_needs_every_condition() -> None:
    assert logic.allowed_use(Shown(**ENOUGH), LIMITS)[0] == NEW_RUNS
    for change in (
        {"lower_bound": 0.6},
        {"lower_bound": None},
        {"context_p": 0.05},
        {"context_p": None},
        {"permutation_p": 0.05},
        {"permutation_p": None},
        {"reasons_against": ["It holds a leak."]},
    ):
        use, reasons = logic.allowed_use(Shown(**{**ENOUGH, **change}), LIMITS)
        assert use == KNOWN_RUNS_ONLY
        assert reasons[0] == "It may be used for the known runs only, not to judge a new one."
        assert len(reasons) == 2


def test_where_labels_change_within_recordings_they_need_not_be_permuted_over_them() -> None:
    within = Shown(**{**ENOUGH, "permutation_p": None}, permutation_asked=False)
    assert logic.allowed_use(within, LIMITS)[0] == NEW_RUNS


def test_the_reasons_against_new_runs_carry_numbers() -> None:
    _, reasons = logic.allowed_use(Shown(0.42, 0.31, 0.255), LIMITS)
    assert "may be as low as 0.42" in reasons[1]
    assert "has p = 0.31" in reasons[2]
    assert "has p = 0.26" in reasons[3] or "has p = 0.25" in reasons[3]


def test_figures_of_another_feature_set_do_not_count_for_new_runs() -> None:
    def figures(feature_set: str, correct: int) -> dict[str, Any]:
        return {"feature_set": feature_set, "runs": {"correct": correct}}

    metrics = {
        "protocols": {schema.NEW_RUN: {schema.AUTO_SKLEARN: figures(schema.RESPONSE, 13)}},
        "further": {
            schema.NEW_RUN: {schema.PUBLISHED: {schema.AUTO_SKLEARN: figures(schema.PUBLISHED, 9)}}
        },
    }
    assert on_new_runs(metrics, schema.RESPONSE)["runs"]["correct"] == 13
    assert on_new_runs(metrics, schema.PUBLISHED)["runs"]["correct"] == 9
    assert on_new_runs(metrics, "ripple") == {}


def servable(memory_mib: float, milliseconds: float = 0.1) -> tuple[Outcome, list[str]]:
    found = Footprint(
        bytes=1, tree_nodes=1, memory_mib=memory_mib, milliseconds_per_row=milliseconds
    )
    return choose(None, logic.servable(found, thresholds()))


def test_refuse_too_large_for_any_server() -> None:
    servers = thresholds().serving.servers
    room = {
        name: server.limit_mib * thresholds().serving.memory_share - server.without_model_mib
        for name, server in servers.items()
    }
    assert servable(min(room.values()))[0] is Outcome.PROMOTE_FIRST
    outcome, reasons = servable(min(room.values()) + 1)
    assert outcome is Outcome.REFUSE_TOO_LARGE
    (name,) = [name for name in room if room[name] == min(room.values())]
    assert reasons[0].startswith(f"Memory of the {name} with this model, MiB is ")
    assert len(servable(max(room.values()) + 1)[1]) == len(servers)
    assert servable(0, milliseconds=5.1)[0] is Outcome.REFUSE_SLOW


def test_what_the_export_lets_through_fits_every_server() -> None:
    nodes = thresholds().export.tree_nodes
    assert servable(nodes * MIB_PER_NODE)[0] is Outcome.PROMOTE_FIRST


@pytest.mark.process
def test_a_footprint_grows_with_the_trees(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(6000, 12))
    tree = DecisionTreeClassifier(splitter="random", random_state=0)
    tree.fit(X, random.integers(2, size=len(X)))
    small, large = tmp_path / "small.onnx", tmp_path / "large.onnx"
    small.write_bytes(to_bytes(forest_model([tree], X)))
    large.write_bytes(to_bytes(forest_model([tree] * 20, X)))
    before, after = measure(small, X), measure(large, X)
    assert (before.bytes, after.bytes) == (small.stat().st_size, large.stat().st_size)
    assert before.tree_nodes == tree.tree_.node_count
    assert after.tree_nodes == 20 * before.tree_nodes
    grown = (after.memory_mib - before.memory_mib) / (after.tree_nodes - before.tree_nodes)
    assert 0.5 * MIB_PER_NODE < grown < 1.2 * MIB_PER_NODE
    assert 0 < before.milliseconds_per_row < 100
