"""The choice of rows, the findings, and all methods together on a small model."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from components.explain.choose import TYPICAL, UNCERTAIN, WRONG, choose
from components.explain.logic import Explained, HeldOut, explain_model
from components.explain.page import page
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.explain import findings
from toolwear.explain.methods.shap_values import Attributions
from toolwear.explain.methods.subject import Envelope, Subject

NAMES = ("position", "speed", "current")


def banded(rows: np.ndarray) -> np.ndarray:
    """P(worn) that one column alone gives away, in bands."""
    return 0.05 + 0.9 * (np.floor(rows[:, 0]) % 2 == 1) - 0.02 * np.tanh(rows[:, 1])


@pytest.fixture(scope="module")
def explained() -> Explained:
    draw = np.random.default_rng(0)
    X = np.column_stack([draw.uniform(0, 4, 1500), draw.normal(size=(1500, 2))])
    subject = Subject(banded, X[:1000], NAMES, seed=1, model_sha256="ab" * 32)
    y = (np.floor(X[1000:, 0]) % 2 == 1).astype(int)
    y[:5] = 1 - y[:5]
    test = HeldOut(
        X[1000:], y, np.array([f"{i % 7:02d}" for i in range(500)]), np.arange(500).astype(str)
    )
    return explain_model(subject, test, 8, lambda _text: None)


def test_wrong_uncertain_and_typical_rows_are_chosen_from_different_runs() -> None:
    worn = np.linspace(0, 1, 400)
    y = (worn > 0.5).astype(int)
    y[[3, 7, 390]] = 1 - y[[3, 7, 390]]
    run = np.array([f"{i % 8}" for i in range(400)])
    chosen = choose(y, worn, run, 12, seed=0)
    kinds = [c.kind for c in chosen]
    assert kinds == [WRONG] * 3 + [UNCERTAIN] * 3 + [TYPICAL] * 6
    assert {c.position for c in chosen[:3]} == {3, 7, 390}
    uncertain = [c.position for c in chosen[3:6]]
    assert np.abs(worn[uncertain] - 0.5).max() < 0.02
    assert len({run[i] for i in uncertain}) == 3
    typical = [c.position for c in chosen[6:]]
    assert Counter(y[typical].tolist()) == {0: 3, 1: 3}
    assert len({run[i] for i in typical}) >= 4
    assert len({c.position for c in chosen}) == 12
    assert choose(y, worn, run, 12, seed=0) == chosen
    assert choose(y, worn, run, 12, seed=1) != chosen


def test_where_nothing_is_wrong_typical_rows_take_the_place() -> None:
    worn = np.array([0.1, 0.9, 0.2, 0.8])
    chosen = choose(np.array([0, 1, 0, 1]), worn, np.array(["1", "1", "2", "2"]), 4, seed=0)
    assert [c.kind for c in chosen] == [UNCERTAIN] + [TYPICAL] * 3
    assert len(choose(np.array([0, 1]), worn[:2], np.array(["1", "1"]), 12, seed=0)) == 2


def test_importance_is_the_mean_size_with_its_spread() -> None:
    values = np.array([[0.3, -0.1], [-0.1, 0.1]])
    found = Attributions(values, np.zeros((2, 2)), 0.5, values.sum(axis=1) + 0.5)
    reference = findings.importance(("a", "b"), found)
    a = reference["features"]["a"]
    assert a["mean"] == pytest.approx(0.2)
    assert a["sd"] == pytest.approx(0.1)
    assert a["standard_error"] == pytest.approx(0.1 / np.sqrt(2))
    assert a["share"] == pytest.approx(2 / 3)
    assert a["deciles"][0] == pytest.approx(0.1)
    assert a["deciles"][-1] == pytest.approx(0.3)
    assert reference["rows"] == 2


def test_agreement_names_other_tops_and_opposite_signs() -> None:
    def one(key: str, rows: list[list[float]]) -> Envelope:
        entries = [{key: row, "r2": 0.6, "gap": 0.05} for row in rows]
        return {"meta": {"features": ["a", "b", "c"]}, "data": {"rows": entries}, "quality": {}}

    found = findings.agreement(
        one("values", [[0.5, 0.3, 0.01], [0.5, 0.3, 0.0], [0.5, 0.1, 0.0]]),
        one("contributions", [[-0.5, 0.3, -0.01], [0.1, 0.4, 0.0], [0.4, 0.1, 0.0]]),
    )
    assert [row["same_top"] for row in found["rows"]] == [True, False, True]
    # c is opposed too, but carries next to nothing.
    assert [row["opposed_signs"] for row in found["rows"]] == [["a"], [], []]
    assert (found["same_top"], found["opposed_signs"]) == (2, 1)
    assert found["rows"][0]["sentence"].startswith("SHAP and LIME give a opposite signs")
    assert found["rows"][1]["sentence"].startswith("SHAP puts a first, LIME b")
    assert "local R² 0.60, 0.05 off" in found["rows"][2]["sentence"]


def test_the_findings_name_the_column_that_gives_the_label_away(explained: Explained) -> None:
    told = " ".join(explained.manifest["findings"])
    reference = explained.manifest["attribution_reference"]
    assert reference["features"]["position"]["share"] > 0.8
    assert f"position carries {reference['features']['position']['share']:.0%}" in told
    assert "Along position the prediction turns 2 times" in told
    assert "ask whether position measures wear or only marks which recording" in told
    fidelity = explained.methods["surrogate"]["quality"]["fidelity"]
    assert f"on {fidelity:.1%} of 500 test rows" in told
    assert fidelity > 0.95


def test_no_warning_of_one_signal_where_the_model_uses_several() -> None:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(1200, 3))
    subject = Subject(lambda rows: 1 / (1 + np.exp(-3 * rows.sum(axis=1))), X[:800], NAMES)
    y = (X[800:].sum(axis=1) > 0).astype(int)
    test = HeldOut(X[800:], y, np.array(["01"] * 400), np.arange(400).astype(str))
    told = " ".join(explain_model(subject, test, 1, lambda _text: None).manifest["findings"])
    assert "relies on one signal" not in told
    assert "turns" not in told


def test_all_methods_answer_for_the_same_rows(explained: Explained) -> None:
    assert list(explained.methods) == ["shap", "lime", "anchor", "ice", "pdp", "surrogate"]
    rows = explained.manifest["rows"]
    assert [row["kind"] for row in rows[:4]] == [WRONG, WRONG, UNCERTAIN, UNCERTAIN]
    for method in ("shap", "lime", "anchor"):
        entries = explained.methods[method]["data"]["rows"]
        assert [e["prediction"] for e in entries] == pytest.approx([r["worn"] for r in rows])
    assert all(e["meta"]["model_sha256"] == "ab" * 32 for e in explained.methods.values())
    shap = explained.methods["shap"]["quality"]
    assert shap["exact_error"] < 0.1
    assert shap["deletion_top"] > shap["deletion_random"]
    assert shap["base_error"] < 3 * shap["base_sd"]
    assert explained.methods["shap"]["data"]["global"]["rows"] == 128 == len(explained.sample)
    assert "position" in explained.methods["anchor"]["data"]["rows"][-1]["text"]


def test_the_page_shows_findings_and_escapes_names(explained: Explained) -> None:
    manifest = explained.manifest | {"findings": ["<b>first</b> & second"]}
    text = page(manifest, explained.methods, [])
    assert "<li>&lt;b&gt;first&lt;/b&gt; &amp; second</li>" in text
    assert "<td>shap</td>" in text
    assert explained.manifest["agreement"]["rows"][0]["sentence"].split("(")[0] in text


def test_no_rows_are_refused_with_a_sentence() -> None:
    X = np.random.default_rng(0).normal(size=(20, 3))
    test = HeldOut(X, np.zeros(20, int), np.array(["1"] * 20), np.arange(20).astype(str))
    with pytest.raises(ToolwearError, match="At least 1 prediction must be explained, not 0"):
        explain_model(Subject(banded, X, NAMES), test, 0, lambda _text: None)
    empty = HeldOut(X[:0], test.y[:0], test.run[:0], test.sample_id[:0])
    with pytest.raises(ToolwearError, match="There are no test rows"):
        explain_model(Subject(banded, X, NAMES), empty, 4, lambda _text: None)


@pytest.mark.process
def test_slow_libraries_are_loaded_by_the_method_that_needs_them() -> None:
    code = (
        "import sys, components.explain.logic;"
        "print([m for m in ('shap', 'lime', 'alibi', 'matplotlib') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"
