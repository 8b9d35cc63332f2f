"""The features step on the real recordings, with the real Feast."""

# Without `annotations` from __future__: kfp reads the types of the graph below as objects.

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kfp import dsl, local
from kfp.dsl import Dataset

from components.features import step
from components.features.component import features as features_component
from datasets.cnc_mill import names as mill
from tests.mill import FEATURE_COLUMNS, FEATURE_SETS, INPUT_COLUMNS, KEY_COLUMNS, MILL
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.dataset.contract import default
from toolwear.dataset.limits import limit_columns
from toolwear.features import recording
from toolwear.features.compute import compute
from toolwear.features.dataset import TRAINING_SET, load
from toolwear.features.names import FEATURES_FOLDER
from toolwear.features.store import open_store, publish_online
from toolwear.features.telemetry import read_rows, read_runs

CUTTING = default().rows.cutting
WINDOW, STRIDE = 50, 25
RUNS = [schema.run_id(number) for number in range(1, 19)]


@pytest.fixture(scope="module")
def manifest(features: Path) -> dict[str, Any]:
    return jsonfile.read(features / "manifest.json")


@pytest.fixture(scope="module")
def training_set(features: Path) -> pd.DataFrame:
    return pd.read_parquet(features / TRAINING_SET)


@pytest.fixture(scope="module")
def raw(telemetry: Path) -> pd.DataFrame:
    return pd.concat(
        [p for _, pieces in read_rows(telemetry, MILL) for p in pieces], ignore_index=True
    )


@pytest.fixture(scope="module")
def component_output(telemetry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the component makes without restoring the order."""
    outputs = tmp_path_factory.mktemp("features") / "outputs"
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(outputs))

    @dsl.pipeline(name="features-alone")
    def graph(telemetry: str) -> None:
        recordings = dsl.importer(artifact_uri=telemetry, artifact_class=Dataset)
        features_component(
            telemetry=recordings.output, restore_order=False, window=WINDOW, stride=STRIDE
        )

    graph(telemetry=str(telemetry))
    (found,) = outputs.glob(f"**/{TRAINING_SET}")
    return found.parent


def test_the_training_set_has_every_row_in_recorded_order(
    training_set: pd.DataFrame, raw: pd.DataFrame, manifest: dict[str, Any]
) -> None:
    assert len(training_set) == len(raw) == manifest["rows"] == 25_286
    assert list(training_set.columns[: len(KEY_COLUMNS)]) == list(KEY_COLUMNS)
    assert set(training_set.columns) == {*KEY_COLUMNS, *FEATURE_COLUMNS}
    for column in (schema.RUN_ID, schema.ROW, mill.PHASE):
        assert (training_set[column].to_numpy() == raw[column].to_numpy()).all()
    assert training_set[schema.SAMPLE_ID].is_unique
    assert (training_set.dtypes[list(FEATURE_COLUMNS)] == np.float64).all()


def test_the_point_in_time_join_equals_its_source(
    features: Path, training_set: pd.DataFrame
) -> None:
    source = pd.read_parquet(features / FEATURES_FOLDER).set_index(schema.SAMPLE_ID)
    joined = training_set.set_index(schema.SAMPLE_ID)[list(FEATURE_COLUMNS)]
    pd.testing.assert_frame_equal(
        joined, source.loc[joined.index, list(FEATURE_COLUMNS)], check_exact=True
    )


def test_the_published_samples_are_the_published_rows(features: Path, raw: pd.DataFrame) -> None:
    samples = load(features, schema.PUBLISHED)
    active = raw[raw[mill.PHASE].isin(mill.ACTIVE_PHASES)]
    assert samples.X.shape == (17_520, 12)
    assert (samples.frame[schema.RUN_ID].to_numpy() == active[schema.RUN_ID].to_numpy()).all()
    assert (samples.frame[schema.ROW].to_numpy() == active[schema.ROW].to_numpy()).all()
    place = samples.columns.index(mill.SEQUENCE_NUMBER)
    np.testing.assert_array_equal(samples.X[:, place], active[mill.SEQUENCE_NUMBER])
    assert int(samples.y.sum()) == 9_478


def test_window_samples_are_complete_and_stride_apart(
    features: Path, manifest: dict[str, Any]
) -> None:
    samples = load(features, schema.RESPONSE)
    assert samples.X.shape == (665, len(FEATURE_SETS[schema.RESPONSE].columns))
    assert np.isfinite(samples.X).all()
    # 43 cutting rows are no window of 50.
    assert manifest["runs_without_windows"] == ["05"]
    assert set(samples.run) == {*RUNS} - {"05"}
    per_run = pd.Series(samples.run).value_counts()
    assert 1_850 < per_run["11"] * STRIDE < 1_910


def test_features_from_a_tail_of_raw_rows_are_those_trained_on(
    training_set: pd.DataFrame, raw: pd.DataFrame, telemetry: Path
) -> None:
    runs = read_runs(telemetry)
    for run in ("01", "06", "18"):
        trained = training_set[training_set[schema.RUN_ID] == run].sort_values(schema.TIME_INDEX)
        rows = raw[raw[schema.RUN_ID] == run].iloc[trained[schema.ROW].to_numpy()]
        rows = rows.assign(**{mill.CLAMP_PRESSURE: runs[run].settings[mill.CLAMP_PRESSURE]})
        for at in np.flatnonzero(trained[schema.IS_WINDOW])[::9]:
            tail = rows.iloc[max(0, at - 150) : at + 1]
            served = compute(tail[[*{*INPUT_COLUMNS, *limit_columns(CUTTING)}]], WINDOW, MILL).iloc[
                -1
            ]
            expected = trained.iloc[at][list(FEATURE_COLUMNS)].astype(float)
            assert (served[list(FEATURE_COLUMNS)].astype(float) == expected).all()


def test_restored_rows_run_on_the_same_clock(
    training_set: pd.DataFrame, raw: pd.DataFrame, manifest: dict[str, Any]
) -> None:
    in_time = training_set.sort_values([schema.RUN_ID, schema.TIME_INDEX], ignore_index=True)
    assert (in_time[schema.EVENT_TIME] == raw[schema.EVENT_TIME]).all()
    untouched = {run for run in RUNS if not manifest["order"][run]["restored"]}
    assert untouched == {"01"}
    assert manifest["order"]["18"]["discontinuities_after"] == 0
    assert manifest["order"]["18"]["discontinuities_before"] > 210


def test_the_online_store_serves_the_newest_cutting_row_of_each_run(
    features: Path, training_set: pd.DataFrame, tmp_path: Path
) -> None:
    publish_online(features, tmp_path)
    online = open_store(tmp_path)
    offline = training_set.set_index(schema.SAMPLE_ID)
    for name, chosen in FEATURE_SETS.items():
        found = online.latest(RUNS, name).set_index(schema.SAMPLE_ID)
        columns = list(chosen.columns)
        pd.testing.assert_frame_equal(
            found[columns], offline.loc[found.index, columns], check_exact=True
        )
    newest = offline.loc[found.index]
    assert newest[schema.IS_CUTTING].all()
    last = training_set[training_set[schema.IS_CUTTING]].groupby(schema.RUN_ID)
    assert (newest[schema.TIME_INDEX].to_numpy() == last[schema.TIME_INDEX].max()).all()


def test_a_run_sorted_on_disk_gives_the_same(
    telemetry: Path, training_set: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(recording, "LONG_RUN_ROWS", 2_000)
    monkeypatch.setattr(recording, "BATCH_ROWS", 900)
    monkeypatch.setattr("components.features.parts.PART_ROWS", 5_000)
    step.features(telemetry, True, WINDOW, STRIDE, tmp_path / "features")
    assert len(list((tmp_path / "features" / TRAINING_SET).iterdir())) == 5
    found = pd.read_parquet(tmp_path / "features" / TRAINING_SET)
    pd.testing.assert_frame_equal(found, training_set, check_exact=True)
    assert {path.name for path in (tmp_path / "features").iterdir()} == {
        FEATURES_FOLDER, TRAINING_SET, "latest.parquet", "manifest.json",
    }  # fmt: skip


def test_the_component_keeps_the_stored_order_when_told_to(
    component_output: Path, training_set: pd.DataFrame, manifest: dict[str, Any]
) -> None:
    kept = pd.read_parquet(component_output / TRAINING_SET)
    assert (kept[schema.TIME_INDEX] == kept[schema.ROW]).all()
    published = list(FEATURE_SETS[schema.PUBLISHED].columns)
    pd.testing.assert_frame_equal(kept[published], training_set[published], check_exact=True)
    ripple = "S1_ActualAcceleration_std"
    same = kept[ripple].eq(training_set[ripple]) | kept[ripple].isna()
    assert same[kept[schema.RUN_ID] == "01"].all()
    assert not same[kept[schema.RUN_ID] == "18"].all()
    assert jsonfile.read(component_output / "manifest.json")["digest"] != manifest["digest"]


@pytest.mark.parametrize(
    ("window", "stride", "sentence"),
    [
        (1, 25, "at least 2 rows, not 1"),
        (50, -1, "at least 1 row, not -1"),
        (9_999, 25, "longer than every run .the longest has 2332.; choose a shorter"),
    ],
)
def test_windows_that_cannot_be_are_refused(
    telemetry: Path, tmp_path: Path, window: int, stride: int, sentence: str
) -> None:
    with pytest.raises(ToolwearError, match=sentence):
        step.features(telemetry, True, window, stride, tmp_path / "features")


def test_a_feature_set_or_folder_that_is_not_there_is_named(features: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolwearError, match="no feature set 'respons'; choose one of published"):
        load(features, "respons")
    with pytest.raises(ToolwearError, match="holds no training set; run the features step"):
        load(tmp_path, schema.PUBLISHED)
    with pytest.raises(ToolwearError, match="is no telemetry folder"):
        step.features(tmp_path, True, WINDOW, STRIDE, tmp_path / "features")
