"""The comparison of two runs: what is the same, what differs, what is missing; the exit code."""

from __future__ import annotations

import fnmatch
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tools.parity import __main__ as command
from tools.parity.compare import Exempt, Row, Verdict, compare, difference
from tools.parity.contents import Run
from tools.parity.rules import EXEMPT, TOLERANCE
from toolwear.common import jsonfile
from toolwear.common.thresholds import thresholds
from toolwear.model.footprint import Footprint
from toolwear.release.gate import servable


def left(root: Path, home: str = "") -> Run:
    """Write what a run's steps leave below `home`, in every format that they use."""
    train, report = root / "train" / "models", root / "report"
    train.mkdir(parents=True)
    report.mkdir()
    frame = pd.DataFrame({"run_id": ["run_01", "run_02"], "p": [0.25, np.nan], "y": [1, 0]})
    frame.to_parquet(train / "predictions.parquet", index=False)
    np.savez(train / "reference.npz", X=np.arange(6.0).reshape(3, 2))
    (train / "forest.onnx").write_bytes(b"a graph")
    (train / "training.json").write_text(
        json.dumps(
            {"seconds": 1.5, "scores": [0.5, 0.75], "folder": f"{home or root}/train", "ok": True}
        )
    )
    figures = {"n": 8, "unit": "rows", "accuracy": 0.75, "mcc": None}
    (report / "summary").write_text(
        json.dumps({"protocols": {"known_runs": {"random_forest": figures}}})
    )
    executor = {"artifacts": {"models": {"artifacts": [{"uri": f"{root}/train/models"}]}}}
    (root / "train" / "executor_output.json").write_text(json.dumps(executor))
    return Run(root.name, root, (f"{root}/",))


@pytest.fixture
def one(tmp_path: Path) -> Run:
    return left(tmp_path / "one")


@pytest.fixture
def other(tmp_path: Path) -> Run:
    return left(tmp_path / "other")


def rows(one: Run, other: Run, *exempt: Exempt) -> dict[str, Row]:
    return {row.name: row for row in compare(one, other, TOLERANCE, exempt)}


def change(run: Run, name: str, **values: object) -> None:
    path = run.root / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_two_runs_that_differ_in_their_folder_only_are_the_same(one: Run, other: Run) -> None:
    found = rows(one, other)
    assert list(found) == ["report/summary", "train/models", "train/parameters"]
    for row in found.values():
        assert row.verdict is Verdict.SAME, row
        assert row.digests[0] == row.digests[1] != ""
        assert row.passed
    assert found["train/models"].files == 4


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.75 + 1e-12, Verdict.WITHIN), (0.75 + 1e-6, Verdict.DIFFERS), (None, Verdict.DIFFERS)],
)
def test_a_number_may_differ_by_the_tolerance_and_no_more(
    one: Run, other: Run, value: float | None, verdict: Verdict
) -> None:
    change(other, "train/models/training.json", scores=[0.5, value])
    row = rows(one, other)["train/models"]
    assert row.verdict is verdict
    assert row.digests[0] != row.digests[1]
    assert row.passed is (verdict is Verdict.WITHIN)
    if verdict is Verdict.DIFFERS:
        assert "training.json:scores[1]: 0.75 and" in row.reasons[0]


@pytest.mark.parametrize("column", [{"p": [0.5, np.nan]}, {"y": [0, 0]}, {"run_id": ["a", "b"]}])
def test_a_table_differs_by_one_value(one: Run, other: Run, column: dict[str, list]) -> None:
    path = other.root / "train" / "models" / "predictions.parquet"
    pd.read_parquet(path).assign(**column).to_parquet(path, index=False)
    row = rows(one, other)["train/models"]
    assert row.verdict is Verdict.DIFFERS
    assert row.reasons[0].startswith(f"predictions.parquet:{next(iter(column))}: 2 values")


def test_a_table_with_its_columns_in_another_order_differs(one: Run, other: Run) -> None:
    path = other.root / "train" / "models" / "predictions.parquet"
    pd.read_parquet(path)[["y", "p", "run_id"]].to_parquet(path, index=False)
    assert rows(one, other)["train/models"].verdict is Verdict.DIFFERS


def test_a_graph_differs_by_one_byte(one: Run, other: Run) -> None:
    (other.root / "train" / "models" / "forest.onnx").write_bytes(b"a Graph")
    row = rows(one, other)["train/models"]
    assert row.verdict is Verdict.DIFFERS
    assert row.reasons[0].startswith("forest.onnx: ")


def test_items_with_names_are_compared_by_them_and_others_by_their_number(
    one: Run, other: Run
) -> None:
    checks = [{"name": "accuracy", "value": 0.5}, {"name": "mcc", "value": 0.25}]
    change(one, "train/models/training.json", checks=checks)
    change(other, "train/models/training.json", checks=checks[::-1])
    assert rows(one, other)["train/models"].verdict is Verdict.SAME
    change(other, "train/models/training.json", checks=[{**checks[0], "value": 0.75}, checks[1]])
    row = rows(one, other)["train/models"]
    assert row.reasons[0].startswith("training.json:checks/accuracy.value: 0.5 and 0.75")
    # Two of one name are both compared.
    change(one, "train/models/training.json", checks=[checks[0], checks[0]])
    change(other, "train/models/training.json", checks=[{**checks[0], "value": 0.75}, checks[0]])
    row = rows(one, other)["train/models"]
    assert row.reasons[0].startswith("training.json:checks[0].value: 0.5 and 0.75")


def test_what_is_exempt_is_left_out_and_told(one: Run, other: Run) -> None:
    change(other, "train/models/training.json", seconds=9.0)
    assert rows(one, other)["train/models"].verdict is Verdict.DIFFERS
    row = rows(one, other, Exempt("train/models/training.json:seconds", "it takes time"))
    assert row["train/models"].verdict is Verdict.SAME
    assert row["train/models"].reasons == ("left out: it takes time",)
    change(other, "train/models/training.json", scores=[0.0, 0.75])
    row = rows(one, other, Exempt("train/models/training.json:seconds", "it takes time"))
    assert row["train/models"].verdict is Verdict.DIFFERS


def test_the_projects_own_exemptions_hide_no_figure() -> None:
    """Every model's figures, its graph and what was decided are compared, come what may."""
    from tools.parity.compare import _first

    rules = [(rule.pattern, rule.why) for rule in EXEMPT]
    for place in (
        "evaluate/evaluation/metrics.json:protocols.known_runs.auto_sklearn.accuracy",
        "report/summary/:protocols.new_run.auto_sklearn.runs.correct",
        "automl/automl/model.onnx:",
        "automl/automl/predictions.parquet:p_worn",
        "decide/decision/decision.json:decision",
        "decide/decision/decision.json:checks/Accuracy on known runs.value",
        "promote-3/promotion/promotion.json:to",
        "register/package/model.onnx:",
        "features/features/training_set/part-00000.parquet:X1_ActualPosition",
    ):
        assert not _first(place, rules), place


def test_what_a_machine_measures_of_a_model_is_exempt() -> None:
    names = [check.name for check in servable(Footprint(1, 1, 1.0, 1.0), thresholds())]
    assert names
    places = [
        *(f"checks/{name}.{place}" for name in names for place in ("value", "sentence")),
        "challenger.footprint.memory_mib",
        "challenger.footprint.milliseconds_per_row",
    ]
    for place in places:
        whole = f"decide/decision/decision.json:{place}"
        assert any(fnmatch.fnmatchcase(whole, rule.pattern) for rule in EXEMPT), whole


@pytest.mark.parametrize("side", ["one", "other"])
def test_a_missing_artifact_and_a_missing_file_are_told(one: Run, other: Run, side: str) -> None:
    root = (one if side == "one" else other).root
    (root / "report" / "summary").unlink()
    (root / "train" / "models" / "forest.onnx").unlink()
    found = rows(one, other)
    assert found["report/summary"].verdict is Verdict.MISSING
    assert found["report/summary"].reasons == (f"{side} has none",)
    assert not found["report/summary"].passed
    assert found["train/models"].verdict is Verdict.DIFFERS
    assert found["train/models"].reasons == (f"{side} has no forest.onnx",)


def test_only_the_other_side_is_excused_from_what_it_never_keeps(one: Run, other: Run) -> None:
    skipped = {"*/parameters": "it is in a database"}
    (other.root / "train" / "executor_output.json").unlink()
    (row,) = [r for r in compare(one, other, 0, (), skipped) if r.name == "train/parameters"]
    assert row.passed
    assert row.reasons == ("it is in a database",)
    (row,) = [r for r in compare(other, one, 0, (), skipped) if r.name == "train/parameters"]
    assert row.verdict is Verdict.MISSING


def test_differences_are_relative_and_know_no_equal_nan_to_a_number() -> None:
    assert difference(1e6, 1e6 + 1) == pytest.approx(1e-6)
    assert difference(1e-12, 0.0) == pytest.approx(1e-12)
    assert difference(np.array([np.nan, 1.0]), np.array([np.nan, 1.0])) == 0
    assert difference(np.array([np.nan, 1.0]), np.array([0.0, 1.0])) is None
    assert difference(np.array([np.inf]), np.array([-np.inf])) is None
    assert difference(np.zeros(2), np.zeros(3)) is None
    assert difference("a", "b") is None
    assert difference(True, 1.0) is None


def _home(folder: Path, runner: str) -> Path:
    """Put a run where the runner of this name would have left it; return its artifacts."""
    run = folder / runner / "20261126T000000Z-000000"
    artifacts = run / "artifacts" / "graph"
    left(artifacts)
    (folder / runner / "latest").symlink_to(run.name)
    return artifacts


def test_the_command_prints_the_table_and_fails_on_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["parity", "--compare", "--folder", str(tmp_path)])
    assert command.main() == 2
    assert "no finished run" in capsys.readouterr().err
    _home(tmp_path, "subprocess")
    artifacts = _home(tmp_path, "docker")
    assert command.main() == 0
    said = capsys.readouterr().out
    assert "train/models" in said
    assert "0.750000 / none" in said
    assert "no artifact differs" in said
    change(Run("docker", artifacts), "train/models/training.json", scores=[0.5, 0.5])
    assert command.main() == 1
    assert "scores[1]: 0.75 and 0.5" in capsys.readouterr().out
    shutil.rmtree(artifacts / "report")
    assert command.main() == 1
    assert "docker has none" in capsys.readouterr().out


def test_figures_that_differ_in_their_last_digits_name_the_same_package() -> None:
    one = {"log_loss": 13.868137299242951, "n": 18, "of": [0.1, np.float64(0.19413793925640620)]}
    other = {"log_loss": 13.868137299242932, "n": 18, "of": [0.1, np.float64(0.19413793925640618)]}
    assert one != other
    assert jsonfile.in_digits(one, 10) == jsonfile.in_digits(other, 10)
    assert jsonfile.in_digits({"p": 1.2345678901234e-7, "no": np.nan}, 10) == {
        "p": 1.23456789e-7,
        "no": None,
    }
