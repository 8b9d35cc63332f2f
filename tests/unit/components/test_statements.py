"""Every sentence of the evaluation, with figures that make it come out one way and the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.evaluate import not_sure, published, searches
from components.evaluate.band import KNOWN
from components.evaluate.statements import statements
from components.evaluate.unseen import Rows, on_searched_runs, on_unseen_runs
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import default
from toolwear.evaluation.metrics import wilson
from toolwear.evaluation.permutation import FREE, WITHIN

FOREST, SEARCH = schema.RANDOM_FOREST, schema.AUTO_SKLEARN
PUBLISHED = default().published


def compared(model: str, errors: int, n: int = 3504) -> dict[str, Any]:
    found = published.compare(model, errors, n, PUBLISHED)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("errors", "differs", "says"),
    [
        (19, False, "a difference that chance in the rows alone can explain"),
        (9, False, "a difference that chance in the rows alone can explain"),  # p = 0.09
        (5, True, "more than chance in the rows alone explains, better than published"),
        (60, True, "more than chance in the rows alone explains, worse than published"),
    ],
)
def test_the_words_on_a_published_figure_follow_the_two_sample_test(
    errors: int, differs: bool, says: str
) -> None:
    found = compared(SEARCH, errors)
    assert (found["errors"], found["differs"]) == (19, differs)
    assert found["differs"] == (found["p"] < 0.05)
    assert says in found["sentence"]
    assert f"{errors:,} errors in 3,504 rows here" in found["sentence"]
    assert f"p = {found['p']:.2g}" in found["sentence"]
    # An interval around ours alone would call 9 errors a difference: it takes theirs for exact.
    assert wilson(3504 - 9, 3504)[0] > found["accuracy"]


def test_published_figures_are_an_estimate_with_an_interval_of_their_own() -> None:
    forest = compared(FOREST, 22)
    assert forest["accuracy"] == 0.9934
    assert forest["interval"]["accuracy"] == pytest.approx((0.9902, 0.9956), abs=1e-4)
    assert published.compare(schema.MAJORITY, 1600, 3504, PUBLISHED) is None


def test_other_recordings_have_no_published_figures() -> None:
    assert PUBLISHED is not None
    assert contract.published(default(), PUBLISHED.digest) == PUBLISHED
    assert contract.published(default(), "0" * 64) is None
    assert published.compare(FOREST, 22, 3504, None) is None


def band(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "low": 0.1,
        "high": 0.9,
        "n": 7000,
        "lower_bound": 0.9991,
        "target": 0.999,
    }
    found["source"] = KNOWN
    return {**found, "reached": True, **changes}


TEST = {"n": 3504, "answered": 3000, "coverage": 0.856, "accuracy": 0.999, "interval": (0.99, 1.0)}


def test_the_band_says_whether_it_reaches_its_target() -> None:
    assert "is 99.91% (95 %, one-sided), which reaches the target of 99.90%" in not_sure.known(
        band(), TEST
    )
    missed = not_sure.known(band(reached=False, lower_bound=0.9982), TEST)
    assert "is 99.82% (95 %, one-sided), which misses the target of 99.90%" in missed
    assert "answers 85.6% and is right in 99.90% of these" in missed
    assert "answers none of the held-back rows" in not_sure.known(band(), {**TEST, "answered": 0})
    assert "is not known" in not_sure.known(band(n=0), TEST)


def unseen(**changes: Any) -> dict[str, Any]:
    runs = [
        {"run_id": "17", "answered": 770, "coverage": 0.77, "accuracy": 0.91},
        {"run_id": "18", "answered": 550, "coverage": 0.55, "accuracy": 0.0},
        {"run_id": "19", "answered": 0, "coverage": 0.0, "accuracy": None},
    ]
    found = {
        "stand_in": "boosting",
        "runs": 3,
        "there_are": 3,
        "n": 3000,
        "answered": 1320,
        "coverage": 0.44,
        "accuracy": 0.53,
        "interval": [0.0, 0.91],
        "target": 0.999,
        "accuracy_of_all": 0.5,
        "per_run": [{**run, "mean_confidence": 0.998} for run in runs],
    }
    return {**found, **changes}


def test_not_sure_on_unseen_runs_says_what_it_does_and_where_it_is_wrong() -> None:
    said = not_sure.unseen(unseen())
    assert "3 runs left out one at a time (boosting in the place of the search)" in said
    assert '"not sure" does not protect: 44.0% of 3,000 rows are answered' in said
    assert "53.0% of the answers are right (95 % interval over runs 0.0% to 91.0%" in said
    assert said.endswith("run 18 (55% answered, 0% of these right, mean confidence 0.998).")
    assert "run 17 (" not in said


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        ([0.9992, 1.0], "keeps its target"),
        ([0.95, 1.0], "may or may not keep its target"),
        ([0.90, 0.95], "does not protect"),
    ],
)
def test_the_verdict_on_unseen_runs_follows_the_interval(interval: list[float], says: str) -> None:
    assert f'"not sure" {says}: ' in not_sure.unseen(unseen(interval=interval))


def test_not_sure_says_what_was_not_measured() -> None:
    assert "is not known" in not_sure.unseen(unseen(runs=0))
    assert "answers no row" in not_sure.unseen(unseen(answered=0))
    assert "On 3 of 40 runs, left out one at a time" in not_sure.unseen(unseen(there_are=40))


def test_a_run_unlike_the_others_is_answered_wrongly_and_counted() -> None:
    """One column marks the class in all runs but the last, where it is the other way round."""
    draw = np.random.default_rng(0)
    runs, size = 8, 120
    run = np.repeat([f"{i:02d}" for i in range(runs)], size)
    y = np.repeat(np.arange(runs) % 2, size)
    told = np.where(run == "07", 1 - y, y)
    X = np.column_stack([told + draw.uniform(-0.2, 0.2, len(y)), draw.uniform(size=len(y))])
    rows = Rows(X, y, run)
    limits = default().not_sure.model_copy(update={"target_accuracy": 0.98})
    found = on_unseen_runs(rows, np.arange(0, len(y), 2), rows, ("a", "b"), limits, 0)
    by_run = {item["run_id"]: item for item in found["per_run"]}
    assert (found["runs"], found["there_are"], found["n"]) == (8, 8, runs * size)
    assert by_run["07"]["answered"] > size / 2
    assert by_run["07"]["accuracy"] < 0.1
    assert by_run["07"]["mean_confidence"] > 0.9
    assert found["answered"] == sum(item["answered"] for item in found["per_run"])
    assert found["interval"][0] < found["accuracy"] < found["interval"][1]
    assert "run 07" in not_sure.unseen(found)


def test_where_one_class_would_be_left_nothing_is_left_out() -> None:
    y = np.repeat([0, 1], 50)
    rows = Rows(np.random.default_rng(0).normal(size=(100, 2)), y, y.astype(str))
    found = on_unseen_runs(rows, np.arange(100), rows, ("a", "b"), default().not_sure, 0)
    assert (found["runs"], found["coverage"], found["accuracy"]) == (0, None, None)


def test_what_searches_said_of_runs_that_they_left_out_is_judged_by_the_others_band() -> None:
    generator = np.random.default_rng(0)
    y = np.tile(np.repeat([0, 1], 100), 8)
    run = np.repeat([f"{n:02}-{s}" for n in range(8) for s in (1, 2)], 100)
    worn = np.clip(np.where(y == 1, 0.97, 0.03) + generator.normal(0, 0.01, len(y)), 0, 1)
    worn[np.isin(run, ["05-2", "06-2", "07-2"])] = 0.5  # of which it can't tell
    rows = Rows(generator.uniform(0.1, 0.9, size=(len(y), 2)), y, run)
    rows.X[0] = 2.0  # and what no other recording has shown
    found = on_searched_runs(rows, worn, ["a", "b"], default().not_sure, seed=0)
    assert (found["runs"], found["stand_in"]) == (8, "")
    assert found["accuracy"] == 1.0
    by_run = {item[schema.RUN_ID]: item for item in found["per_run"]}
    assert by_run["07"]["coverage"] == 0.5
    assert by_run["00"]["answered"] == 199
    assert '8 runs left out one at a time, "not sure" keeps its target' in not_sure.unseen(found)


def search(members: list[str], tried: list[str], **changes: Any) -> dict[str, Any]:
    outer = [{"ensemble": [{"classifier": "dummy"}]}, {"ensemble": [{"classifier": "lda"}]}]
    settings = {"evaluations": 0, "seconds": 300, "outer_seconds": 20}
    return {
        "ensemble": [{"classifier": name} for name in members],
        "leaderboard": [{"classifier": name, "cost": 0.1} for name in tried],
        "counts": {"evaluations": len(tried) + 1},
        "settings": {**settings, "space": {"classifier": ["gradient_boosting"]}},
        "outer": outer,
        **changes,
    }


def test_a_search_of_one_family_is_called_the_tuning_of_one_family() -> None:
    one = searches.sentences(search(["gradient_boosting"] * 4, ["gradient_boosting"] * 20), [])[0]
    assert "chose 4 gradient boosting (4 members)" in one
    assert "the 15 best of 21 evaluations are 15 gradient boosting" in one
    assert "it came to the tuning of one family" in one
    for members, tried in (
        (["gradient_boosting", "extra_trees"], ["gradient_boosting"] * 20),
        (["gradient_boosting"], ["gradient_boosting", "extra_trees"]),
    ):
        assert "one family" not in searches.sentences(search(members, tried), [])[0]
    assert "beat a dummy" in searches.sentences(search(["dummy"], []), [])[0]


def test_what_held_the_outer_searches_back_is_counted() -> None:
    said = searches.sentences(search(["lda"], ["lda"]), [3, 75])[1]
    assert "The 2 searches that left a run or a setting out" in said
    assert "20 s each (the main one 300 s)" in said
    assert "1 ended with a dummy" in said
    assert "by its samples (3 to 75)" in said
    assert "they could try no linear model" in said
    linear = search(["lda"], ["lda"], outer=[{"ensemble": [{"classifier": "lda"}]}])
    linear["settings"] |= {"evaluations": 12, "space": {"classifier": ["lda", "extra_trees"]}}
    said = searches.sentences(linear, [9, 9])[1]
    assert "12 evaluations each" in said
    assert "of linear models they could try lda only" in said
    assert "dummy" not in said
    assert "samples" not in said
    nothing = {"skipped": "one class", "protocol": schema.NEW_RUN, "fold": "01"}
    (_, said) = searches.sentences(search(["lda"], ["lda"], outer=[nothing]), [])
    assert said.startswith("1 of 1 searches that leave a run or a setting out were not made: ")
    assert "without 01 (new run), one class or one of its groups only is left" in said


def test_pooled_areas_are_called_biased_where_the_majority_shows_it() -> None:
    assert "gets 0.00 in place of 0.5" in searches.pooled({schema.MAJORITY: {"auc": 0.0}})
    assert searches.pooled({schema.MAJORITY: {"auc": 0.5}}) == ""
    assert searches.pooled({}) == ""


def said(**changes: Any) -> str:
    known = {"errors": 8, "n": 3504, "accuracy": 0.9977, "interval": {"accuracy": (0.99, 1.0)}}
    best = {"runs_correct": {"observed": 14.0, "p": 0.18}, "run_auc": {"observed": 0.8, "p": 0.1}}
    tree = {"runs": {"correct": 16, "of": 18}}
    values: dict[str, Any] = {
        "protocols": {
            schema.KNOWN_RUNS: {SEARCH: {**known, "published": None}},
            schema.NEW_RUN: {},
            schema.NEW_SETTING: {},
        },
        "further": {schema.NEW_SETTING: {schema.PUBLISHED: {schema.DECISION_TREE: tree}}},
        "permutation": {
            "p": 0.18,
            "asked": True,
            "left_out": {},
            "free": {"permutations": 10, "all": best},
        },
        "behaviour": {"passed": 1, "of": 1, "checks": []},
        "adjacent": 0.95,
        "level": 0.05,
        "leaks": ["It holds Z."],
        "not_sure": ["NOT SURE"],
        "searched": ["SEARCHED"],
        "against_context": "CONTEXT",
        "left_out": {},
        **changes,
    }
    return " ".join(statements(**values))


def test_memory_is_only_spoken_of_where_rows_have_neighbours() -> None:
    assert "95.0% were recorded right beside a training row, so this says" in said()
    assert "5.0% were recorded right beside a training row; all are of runs" in said(adjacent=0.05)


def test_a_leak_is_only_spoken_of_where_the_audit_found_one() -> None:
    assert (
        "judges 16 of 18 runs of unseen settings right, which does not count: It holds Z." in said()
    )
    assert "the audit holds nothing against these features" in said(leaks=[])


def test_the_largest_p_is_called_valid_and_weak_and_decides_the_words() -> None:
    assert "that is no better than chance can explain: the largest p is 0.18" in said()
    assert "valid for all of them at once, and weak" in said()
    assert "better than chance explains: the largest p is 0.18" in said(level=0.2)
    assert "was not tested" in said(permutation={"p": None, "asked": True, "left_out": {}})


def test_what_was_not_asked_and_not_tested_is_said_with_its_reason() -> None:
    unasked = {schema.KNOWN_RUNS: "No rows.", schema.NEW_SETTING: "One setting."}
    protocols: dict[str, Any] = {name: {} for name in schema.PROTOCOLS}
    told = said(protocols=protocols, left_out=unasked, further={})
    assert "Whether it recalls runs that it has seen was not asked: No rows." in told
    assert (
        "Whether it judges a combination of settings that it has not seen was not asked: "
        "One setting." in told
    )
    assert "a run that it has not seen was not asked" not in told
    untested = {"p": None, "asked": True, "left_out": {FREE: "One run.", WITHIN: "One run."}}
    assert "since no question of whole runs was asked" in said(permutation=untested)
    divided = {"p": None, "asked": False, "left_out": {FREE: "Labels change.", WITHIN: ""}}
    assert "Labels change." in said(permutation=divided)


def test_what_not_sure_and_the_search_came_to_is_said() -> None:
    assert "NOT SURE" in said()
    assert "SEARCHED" in said()
    assert "CONTEXT" in said()
    assert "published" not in said()
