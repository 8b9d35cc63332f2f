"""How much of a score is memory, and what the audit concludes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from datasets.cnc_mill import names as mill
from tests.mill import MILL
from toolwear.dataset import schema
from toolwear.evaluation.audit.memory import (
    copied_rows,
    neighbours,
    run_identification,
    settings_only,
)
from toolwear.evaluation.audit.verdict import check_feature_set, findings, verdicts
from toolwear.evaluation.protocols import Fold


def keys(rows: dict[str, list[int]]) -> pd.DataFrame:
    pairs = [(run, row) for run, held in rows.items() for row in held]
    frame = pd.DataFrame(pairs, columns=[schema.RUN_ID, schema.ROW])
    return frame.assign(**{schema.TIME_INDEX: frame[schema.ROW]})


def test_neighbours_are_of_the_same_run_and_directly_beside() -> None:
    frame = keys({"01": [0, 1, 2, 4], "02": [5, 6]})
    fold = Fold("published", np.array([0, 1, 4]), np.array([2, 3, 5]))
    found = neighbours(frame, schema.ROW, np.arange(6.0)[:, None], fold)
    assert found["adjacent_share"] == pytest.approx(2 / 3)  # 01:2 and 02:6, not 01:4
    assert found["twin_share"] == 0
    assert (found["train_rows"], found["test_rows"]) == (3, 3)


def test_windows_are_neighbours_by_their_order_and_twins_by_every_feature() -> None:
    frame = keys({"01": [49, 74, 99], "02": [49, 74]})
    features = np.array([[1, 1], [1, 2], [1, 1], [1, 2], [2, 2.0]])
    fold = Fold("published", np.array([0, 3]), np.array([1, 2, 4]))
    found = neighbours(frame, schema.TIME_INDEX, features, fold)
    assert found["adjacent_share"] == pytest.approx(2 / 3)
    assert found["twin_share"] == pytest.approx(2 / 3)


def test_a_copied_run_is_found() -> None:
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(generator.normal(size=(300, 2)), columns=["a", "b"])
    rows[schema.RUN_ID] = np.repeat(["01", "02", "03"], 100)
    assert copied_rows(rows, ["a", "b"]) == []
    rows.loc[200:249, ["a", "b"]] = rows.loc[0:49, ["a", "b"]].to_numpy()
    assert copied_rows(rows, ["a", "b"]) == [{"run": "01", "other": "03", "share": 0.5}]


def test_a_forest_names_runs_that_differ_and_not_those_that_do_not() -> None:
    generator = np.random.default_rng(0)
    run = np.repeat([f"{n:02d}" for n in range(6)], 100)
    level = np.repeat(np.arange(6.0), 100)[:, None]
    apart = run_identification(level + generator.normal(0, 0.1, (600, 2)), run, seed=0)
    alike = run_identification(generator.normal(0, 1, (600, 2)), run, seed=0)
    assert apart["accuracy"] > 0.95
    assert alike["accuracy"] == pytest.approx(alike["chance"], abs=0.08)
    assert (apart["rows"], apart["runs"], apart["chance"]) == (600, 6, pytest.approx(1 / 6))


def test_settings_anti_predict_in_a_matched_design() -> None:
    # Each setting once with either tool, so the run left in has the other label.
    runs = pd.DataFrame(
        [(f"{n:02d}", 3.0 * (n // 2), 4.0, n % 2) for n in range(8)],
        columns=[schema.RUN_ID, mill.FEEDRATE, mill.CLAMP_PRESSURE, schema.LABEL],
    )
    runs[schema.SETTING] = [
        schema.setting(pair)
        for pair in zip(runs[mill.FEEDRATE], runs[mill.CLAMP_PRESSURE], strict=True)
    ]
    found = settings_only(runs, [*MILL.settings])
    assert (found[schema.NEW_RUN]["correct"], found[schema.NEW_RUN]["of"]) == (0, 8)
    assert found[schema.NEW_RUN]["interval"][1] == pytest.approx(0.324, abs=0.001)
    assert found[schema.NEW_SETTING]["run_auc"] == 0.5


def measured(**changed: Any) -> dict[str, Any]:
    """Return the measurements of data without a trap."""
    near = {"adjacent_share": 0.9, "twin_share": 0.1, "test_rows": 20, "train_rows": 80}
    audit: dict[str, Any] = {
        "columns": [
            {
                "column": name,
                "run_auc": 0.6,
                "runs_right": 10,
                "runs": 18,
                "p_family": 0.5,
                "leak": False,
            }
            for name in ("depth", "load", "bus")
        ],
        "session_fingerprint": [],
        "order": {"run": {}, "shuffled_runs": [], "batch_rows": None, "restored": False},
        "phases": {},
        "copied_rows": [],
        "design": {"confounded": False},
        "neighbours": near | {"by_set": {"a": near, "b": near}},
        "run_identification": {
            "a": {"accuracy": 0.99, "chance": 0.1, "rows": 100, "runs": 18},
            "b": {"accuracy": None, "chance": 0.1, "rows": 100, "runs": 18},
        },
    }
    return audit | changed


SETS = {"a": ["depth", "load"], "b": ["load"]}


def test_data_without_a_trap_is_passed_in_silence() -> None:
    audit = measured()
    assert findings(audit, 0.9, 0.05) == []
    verdict = verdicts(SETS, {}, audit, 0.05)
    assert all(v["passed"] and not v["reasons"] for sets in verdict.values() for v in sets.values())
    (memory, identity) = verdict[schema.KNOWN_RUNS]["a"]["caveats"]
    assert "not how well a new run is judged: 90.0% of the 20 test samples" in memory
    assert "name the run of a row in 99.0%" in identity


def test_a_set_with_a_leaking_column_is_refused_for_new_runs_and_settings_only() -> None:
    audit = measured()
    audit["columns"][0] |= {"leak": True, "run_auc": 1.0, "runs_right": 18}
    verdict = verdicts(SETS, {}, audit, 0.05)
    assert [
        (protocol, name)
        for protocol, sets in verdict.items()
        for name, found in sets.items()
        if not found["passed"]
    ] == [(schema.NEW_RUN, "a"), (schema.NEW_SETTING, "a")]
    assert "depth, which alone tells the label of 18 of 18" in verdict["new_run"]["a"]["reasons"][0]
    (finding,) = findings(audit, 0.9, 0.05)
    assert "depth (18 of 18 runs)" in finding


def test_a_column_that_was_not_audited_may_claim_nothing() -> None:
    assert check_feature_set(["load"], measured()) == []
    assert check_feature_set(["load", "new"], measured()) == ["new has not been audited."]


def test_copied_runs_fail_what_is_said_of_new_runs() -> None:
    audit = measured(copied_rows=[{"run": "01", "other": "03", "share": 0.5}])
    verdict = verdicts(SETS, {}, audit, 0.05)
    assert verdict[schema.KNOWN_RUNS]["b"]["passed"]
    assert verdict[schema.NEW_RUN]["b"]["reasons"] == [
        "Runs 01 and 03 share 50% of their cutting rows."
    ]
    assert findings(audit, 0.9, 0.6) == []


def test_a_mark_of_the_session_is_a_caveat_and_a_finding() -> None:
    marks = [
        {"column": "bus", "effect_sd": 5.0, "settings": {"6/4": 5.0}, "moves_with": None},
        {"column": "load", "effect_sd": 1.0, "settings": {"6/4": 1.0}, "moves_with": "bus"},
    ]
    audit = measured(session_fingerprint=marks)
    verdict = verdicts(SETS, {}, audit, 0.05)
    assert verdict[schema.NEW_RUN]["b"]["passed"]
    assert verdict[schema.NEW_RUN]["b"]["caveats"] == [
        "It holds load, which tell when a run was recorded."
    ]
    (finding,) = findings(audit, 0.9, 0.05)
    assert "bus (by up to 5.0, settings 6/4)" in finding
    assert "load rises and falls with bus" in finding
