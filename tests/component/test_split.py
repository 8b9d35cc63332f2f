"""The split and its audit on the real recordings, through the KFP component."""

# Without `annotations` from __future__: kfp reads the types of the graph below as objects.

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kfp import dsl, local
from kfp.dsl import Dataset
from sklearn.model_selection import train_test_split

from components.split import step
from components.split.component import split
from datasets.cnc_mill import names as mill
from tests.mill import FEATURE_SETS, PUBLISHED_COLUMNS
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.evaluation.audit.verdict import check_feature_set
from toolwear.evaluation.protocols import Fold, folds
from toolwear.features.dataset import load

ALL_RUNS = [schema.run_id(number) for number in range(1, 19)]
LEAKS = {"Z1_ActualPosition", "Z1_CommandPosition"}
BUS = ["X1_OutputCurrent", "Y1_OutputCurrent", "S1_OutputCurrent"]


@pytest.fixture(scope="module")
def made(telemetry: Path, features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the component made of the real recordings."""
    outputs = tmp_path_factory.mktemp("split") / "outputs"
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(outputs))

    # A component that reads artifacts runs inside a graph only.
    @dsl.pipeline(name="split-alone")
    def graph(telemetry: str, features: str) -> str:
        recordings = dsl.importer(artifact_uri=telemetry, artifact_class=Dataset)
        table = dsl.importer(artifact_uri=features, artifact_class=Dataset)
        task = split(telemetry=recordings.output, features=table.output, seed=0)
        return task.outputs["Output"]

    run = graph(telemetry=str(telemetry), features=str(features))
    assert run.output == "restricted"
    (found,) = outputs.glob(f"**/{step.AUDIT_FILE}")
    return found.parent


@pytest.fixture(scope="module")
def audit(made: Path) -> dict[str, Any]:
    return jsonfile.read(made / step.AUDIT_FILE)


@pytest.fixture(scope="module")
def splits(made: Path) -> pd.DataFrame:
    return pd.read_parquet(made / step.SPLITS_FILE)


def test_the_published_split_is_reproduced_row_by_row(features: Path, splits: pd.DataFrame) -> None:
    samples = load(features, schema.PUBLISHED)
    assert len(samples.y) == 17_520
    (fold,) = folds(schema.KNOWN_RUNS, samples, splits)
    train, test = train_test_split(np.arange(17_520), test_size=0.2, random_state=0)
    assert (fold.train_index.size, fold.test_index.size) == (14_016, 3_504)
    assert np.array_equal(fold.train_index, np.sort(train))
    assert np.array_equal(fold.test_index, np.sort(test))
    assert len(splits) == 25_286
    assert splits[schema.KNOWN_RUNS].isna().sum() == 25_286 - 17_520


@pytest.mark.parametrize("feature_set", FEATURE_SETS)
def test_runs_and_settings_are_left_out_whole(
    feature_set: str, features: Path, splits: pd.DataFrame
) -> None:
    samples = load(features, feature_set)
    by_run = folds(schema.NEW_RUN, samples, splits)
    by_setting = folds(schema.NEW_SETTING, samples, splits)
    assert [fold.name for fold in by_run] == sorted(set(samples.run))
    assert {fold.name for fold in by_setting} == set(samples.setting)
    assert len(by_setting) == 10 if feature_set == schema.PUBLISHED else len(by_setting) >= 9
    for fold in by_setting:
        assert not set(samples.run[fold.train_index]) & set(samples.run[fold.test_index])


def test_the_leaking_position_is_found_by_its_values(audit: dict[str, Any]) -> None:
    columns = {item["column"]: item for item in audit["columns"]}
    assert set(mill.NUMERIC_COLUMNS) <= set(columns)
    assert {name for name, item in columns.items() if item["leak"]} == LEAKS
    for name in LEAKS:
        for rows in ("cutting", "active"):
            found = columns[name]["on"][rows]
            assert (found["run_auc"], found["runs_right"], found["runs"]) == (1.0, 18, 18)
            assert found["p_family"] <= 0.01
    best_physical = max(item["run_auc"] for name, item in columns.items() if name not in LEAKS)
    assert 0.8 < best_physical < 0.95


def test_the_design_alone_lets_no_set_speak_of_new_runs(audit: dict[str, Any]) -> None:
    found = audit["design"]
    assert (found["settings"], found["apart"], found["later"]) == (7, 7, 1.0)
    assert found["p"] < 0.05
    for protocol in (schema.NEW_RUN, schema.NEW_SETTING):
        for name, verdict in audit["protocols"][protocol].items():
            assert not verdict["passed"]
            assert any("In 7 of 7 settings" in reason for reason in verdict["reasons"])
            assert (len(verdict["reasons"]) == 1) == (name != schema.PUBLISHED)
    assert all(verdict["passed"] for verdict in audit["protocols"][schema.KNOWN_RUNS].values())


def test_the_leak_is_held_against_the_set_that_has_it(audit: dict[str, Any]) -> None:
    (reason,) = check_feature_set(PUBLISHED_COLUMNS, audit)
    assert "Z1_ActualPosition, which alone tells the label of 18 of 18 unseen runs" in reason
    assert reason in audit["protocols"][schema.NEW_RUN][schema.PUBLISHED]["reasons"]
    assert not check_feature_set(FEATURE_SETS[schema.RESPONSE].columns, audit)


def test_the_published_split_measures_memory(audit: dict[str, Any]) -> None:
    near = audit["neighbours"]
    assert (near["train_rows"], near["test_rows"]) == (14_016, 3_504)
    assert near["adjacent_share"] == pytest.approx(0.954, abs=0.0005)
    assert near["twin_share"] == 173 / 3_504
    caveat = audit["protocols"][schema.KNOWN_RUNS][schema.PUBLISHED]["caveats"][0]
    assert "how well known runs are remembered" in caveat
    assert "95.4%" in caveat
    named = audit["run_identification"]
    assert named[schema.PUBLISHED]["accuracy"] > 0.98
    assert named[schema.RESPONSE]["accuracy"] < 0.7


def test_settings_alone_anti_predict_a_run_and_half_predict_a_setting(
    audit: dict[str, Any],
) -> None:
    by_run, by_setting = (
        audit["settings_only"][protocol] for protocol in (schema.NEW_RUN, schema.NEW_SETTING)
    )
    assert (by_run["correct"], by_run["of"]) == (3, 18)
    assert by_run["run_auc"] == pytest.approx(0.1375)
    assert (by_setting["correct"], by_setting["of"]) == (11, 18)
    assert by_setting["run_auc"] == pytest.approx(0.65)
    assert by_setting["interval"] == pytest.approx([0.386, 0.797], abs=0.001)
    assert by_run[schema.MAJORITY]["correct"] == 10


def test_the_mains_voltage_is_found_as_the_mark_of_the_session(audit: dict[str, Any]) -> None:
    found = {item["column"]: item for item in audit["session_fingerprint"]}
    assert list(found) == BUS
    assert 8 < found[BUS[0]]["effect_sd"] < 12
    assert 5 < found[BUS[1]]["effect_sd"] < 9
    assert found[BUS[2]]["moves_with"] == BUS[0]


def test_every_run_but_the_first_is_stored_in_shuffled_batches_of_ten(
    audit: dict[str, Any],
) -> None:
    order = audit["order"]
    assert order["shuffled_runs"] == ALL_RUNS[1:]
    assert order["run"]["01"]["share"] < 0.01
    assert all(order["run"][run]["share"] > 0.05 for run in ALL_RUNS[1:])
    assert order["batch_rows"] == 10
    left = [run for run in ALL_RUNS if order["run"][run]["restored_share"] > 0.02]
    assert order["restored"]
    assert len(left) <= 4


def test_phases_fit_the_depth_in_the_intact_run_only(audit: dict[str, Any]) -> None:
    layered = {
        run: item["agreement"] for run, item in audit["phases"].items() if len(item["layers"]) == 3
    }
    assert len(layered) == 15
    assert layered.pop("01") > 0.99
    assert max(layered.values()) < 0.55


def test_the_findings_are_sentences_and_the_figures_are_there(
    audit: dict[str, Any], made: Path
) -> None:
    assert len(audit["findings"]) == 5
    assert all(sentence.endswith((".", ")")) for sentence in audit["findings"])
    plots = {path.name for path in (made / step.PLOTS_FOLDER).iterdir()}
    assert plots == {
        "clearest_column.png",
        "column_auc.png",
        "order_jumps.png",
        "session_fingerprint.png",
    }
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in (made / step.PLOTS_FOLDER).iterdir())


def test_a_split_that_does_not_separate_stops_the_run(
    telemetry: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(protocol: str, samples: Any, splits: pd.DataFrame) -> list[Fold]:
        found = folds(protocol, samples, splits)
        first = found[0]
        both = np.append(first.train_index, first.test_index[:1])
        return [Fold(first.name, both, first.test_index), *found[1:]]

    monkeypatch.setattr("toolwear.evaluation.audit.logic.folds", leaky)
    with pytest.raises(ToolwearError, match="does not separate training from test"):
        step.split(telemetry, features, 0, tmp_path / "split")
    assert not (tmp_path / "split").exists()


def test_features_of_other_telemetry_are_refused(
    telemetry: Path, features: Path, tmp_path: Path
) -> None:
    other = tmp_path / "telemetry"
    other.mkdir()
    part = pd.read_parquet(sorted(telemetry.glob("part-*.parquet"))[0])
    part.iloc[:-1].to_parquet(other / "part-00000.parquet", index=False)
    with pytest.raises(ToolwearError, match="do not belong to this telemetry"):
        step.split(other, features, 0, tmp_path / "split")
