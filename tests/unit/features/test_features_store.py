"""Feast: what the point-in-time join may see, and the online store."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.features.join import TrainingSetJoin
from tests.mill import FEATURE_COLUMNS, FEATURE_SETS, FEATURES_MANIFEST, MILL, VIEWS
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.dataset import schema
from toolwear.features import store
from toolwear.features.feast_folder import apply_folder
from toolwear.features.names import FEATURES_FOLDER, LATEST_FILE, SAMPLES_VIEW

NOON = pd.Timestamp("2020-01-01 12:00", tz="UTC").as_unit("us")
TENTH = pd.Timedelta(milliseconds=100)


def feature_rows(ids: list[tuple[str, pd.Timestamp]], key: str) -> pd.DataFrame:
    """Return rows in which every feature is the row's number."""
    frame = pd.DataFrame(ids, columns=[key, schema.EVENT_TIME])
    frame[schema.EVENT_TIME] = frame[schema.EVENT_TIME].dt.as_unit("us")
    values = np.repeat(np.arange(float(len(ids)))[:, np.newaxis], len(FEATURE_COLUMNS), axis=1)
    return pd.concat([frame, pd.DataFrame(values, columns=list(FEATURE_COLUMNS))], axis=1)


def test_the_join_never_sees_the_future(tmp_path: Path) -> None:
    part = tmp_path / "part.parquet"
    table = feature_rows(
        [
            ("01:0", NOON - TENTH),  # 0: older
            ("01:0", NOON),  # 1: as of now
            ("01:0", NOON + TENTH),  # 2: later
            ("01:1", NOON + TENTH),  # 3: later only
            ("01:2", NOON - 9 * TENTH),  # 4: long ago
        ],
        schema.SAMPLE_ID,
    )
    table.to_parquet(part, index=False)
    keys = pd.DataFrame(
        {schema.SAMPLE_ID: ["01:2", "01:1", "01:0"], schema.EVENT_TIME: [NOON, NOON, NOON]}
    )
    joined = TrainingSetJoin(tmp_path / "feast", MILL).join(keys, part).to_pandas()
    assert list(joined.columns) == list(FEATURE_COLUMNS)
    np.testing.assert_array_equal(joined.iloc[:, 0], [4.0, np.nan, 1.0])
    np.testing.assert_array_equal(joined.iloc[:, -1], [4.0, np.nan, 1.0])


@pytest.fixture
def output(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of what `publish_online` reads of the features step's output."""

    def make(digest: str, runs: list[str]) -> Path:
        folder = tmp_path / digest
        folder.mkdir()
        (folder / FEATURES_FOLDER).mkdir()
        jsonfile.write(folder / "manifest.json", {**FEATURES_MANIFEST, "digest": digest})
        latest = feature_rows([(run, NOON) for run in runs], schema.RUN_ID)
        latest[schema.SAMPLE_ID] = [f"{run}:9" for run in runs]
        latest.to_parquet(folder / LATEST_FILE, index=False)
        return folder

    return make


def test_published_features_are_read_back_online(
    tmp_path: Path, output: Callable[..., Path]
) -> None:
    home = tmp_path / "home"
    store.publish_online(output("a", ["01", "02"]), home)
    found = store.open_store(home).latest(["02", "01", "77"], schema.PUBLISHED)
    columns = list(FEATURE_SETS[schema.PUBLISHED].columns)
    assert found[schema.SAMPLE_ID].tolist() == ["02:9", "01:9", None]
    assert found[schema.EVENT_TIME].tolist()[:2] == [NOON, NOON]
    assert found[schema.EVENT_TIME].isna().tolist() == [False, False, True]
    np.testing.assert_array_equal(found[columns[0]], [1.0, 0.0, np.nan])


def test_a_push_is_visible_at_once_and_survives_publishing_again(
    tmp_path: Path, output: Callable[..., Path]
) -> None:
    home, features = tmp_path / "home", output("a", ["01", "02"])
    store.publish_online(features, home)
    newer = feature_rows([("02", NOON + TENTH)] * 8, schema.RUN_ID).iloc[[7]]
    newer[schema.SAMPLE_ID] = "02:10"
    opened = store.open_store(home)
    opened.push(newer)
    store.publish_online(features, home)
    for reader in (opened, store.open_store(home)):
        for feature_set in FEATURE_SETS:  # they lie in two views
            found = reader.latest(["01", "02"], feature_set)
            assert found[schema.SAMPLE_ID].tolist() == ["01:9", "02:10"]
        assert found["S1_ActualAcceleration_std"].tolist() == [0.0, 7.0]


def test_threads_share_an_open_store(tmp_path: Path, output: Callable[..., Path]) -> None:
    home = tmp_path / "home"
    store.publish_online(output("a", ["01", "02"]), home)
    opened = store.open_store(home)

    def read(i: int) -> list[str]:
        run = f"0{1 + i % 2}"
        return opened.latest([run] * (1 + i % 3), "ripple")[schema.SAMPLE_ID].tolist()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, range(120)))
    assert found == [[f"0{1 + i % 2}:9"] * (1 + i % 3) for i in range(120)]


def test_a_new_output_replaces_the_old_one_whole(
    tmp_path: Path, output: Callable[..., Path]
) -> None:
    home = tmp_path / "home"
    store.publish_online(output("a", ["01", "02"]), home)
    reader = store.open_store(home)
    store.publish_online(output("b", ["03"]), home)
    found = store.open_store(home).latest(["01", "03"], "ripple")
    assert found[schema.SAMPLE_ID].tolist() == [None, "03:9"]
    # Who had opened the old store still reads that one.
    assert reader.latest(["01"], "ripple")[schema.SAMPLE_ID].tolist() == ["01:9"]


def test_what_a_kill_left_half_built_is_built_anew(
    tmp_path: Path, output: Callable[..., Path]
) -> None:
    home, features = tmp_path / "home", output("a", ["01"])
    folder = store.publish_online(features, home)
    (folder / store._COMPLETE).unlink()
    (folder / "online.db").write_bytes(b"half")
    store.publish_online(features, home)
    found = store.open_store(home).latest(["01"], "ripple")
    assert found[schema.SAMPLE_ID].tolist() == ["01:9"]


def test_serving_does_not_need_the_output_any_more(
    tmp_path: Path, output: Callable[..., Path]
) -> None:
    home, features = tmp_path / "home", output("a", ["01"])
    store.publish_online(features, home)
    shutil.rmtree(features)
    found = store.open_store(home).latest(["01"], "ripple")
    assert found[schema.SAMPLE_ID].tolist() == ["01:9"]


def test_feast_s_command_line_finds_what_the_store_applies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from feast.repo_operations import parse_repo

    from feature_repo.definitions import repository

    monkeypatch.chdir(ROOT)
    found = parse_repo(ROOT / "feature_repo")
    objects: list[Any] = [*found.entities, *found.feature_views, *found.feature_services]
    names = {o.name for o in objects} - {"__dummy"}  # Feast's own
    assert names == {o.name for o in repository(tmp_path, MILL)}
    assert len(found.feature_services) == 1 + len(FEATURE_SETS)
    assert [view.online for view in found.feature_views if view.name == SAMPLES_VIEW] == [False]


def feast(folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "TOOLWEAR_FEAST"}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("feast")), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.process
@pytest.mark.timeout(900)  # it imports for long where much else is going on
def test_feast_s_command_line_works_in_the_repository_and_in_what_is_published(
    tmp_path: Path, output: Callable[..., Path]
) -> None:
    copy = tmp_path / "feature_repo"
    shutil.copytree(ROOT / "feature_repo", copy, ignore=shutil.ignore_patterns("*.db"))
    feast(copy, "apply")
    made = {path.name for path in copy.iterdir()} - {"__pycache__"}
    assert made == {path.name for path in (ROOT / "feature_repo").iterdir()} - {"__pycache__"} | {
        "registry.db",
        "online.db",
    }
    home = tmp_path / "home"
    store.publish_online(output("a", ["01"]), home)
    assert {"registry.db", "online.db"} <= {
        path.name for path in (home / "feast/current").iterdir()
    }
    assert not (Path.cwd() / "registry.db").exists()
    moved = tmp_path / "moved"
    home.rename(moved)
    current = moved / "feast" / "current"
    listed = feast(current, "feature-views", "list")
    assert [view for view in VIEWS if view not in listed] == []
    (current / "online.db").unlink()
    store._fill(apply_folder(current, MILL), current)
    assert store.open_store(moved).latest(["01"], schema.PUBLISHED)[schema.SAMPLE_ID].all()


def test_the_cluster_s_copy_knows_the_views_and_the_mark_of_a_whole_store(
    tmp_path: Path, output: Callable[..., Path]
) -> None:
    script = (ROOT / "manifests" / "base" / "feast" / "materialize.sh").read_text()
    assert re.findall(r"--views (\S+)", script) == list(VIEWS)
    folder = store.publish_online(output("a", ["01"]), tmp_path / "home")
    (mark,) = re.findall(r'TOOLWEAR_FEAST/([^"]+)', script)
    assert (folder / mark).is_file()


def test_an_empty_home_and_a_wrong_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ToolwearError, match="finish a training run first"):
        store.open_store(tmp_path)
    with pytest.raises(ToolwearError, match="empty is no output of the features step"):
        store.publish_online(tmp_path / "empty", tmp_path)


def test_serving_reads_the_same_as_feast_s_own_answer(
    tmp_path: Path, output: Callable[..., Path]
) -> None:
    home = tmp_path / "home"
    assert store.published(home) is None
    store.publish_online(output("a", ["01", "02"]), home)
    opened, mark = store.open_store(home), store.published(home)
    table = opened.latest(["02", "77", "01"], schema.PUBLISHED)
    found = opened.values(["02", "77", "01"], schema.PUBLISHED)
    columns = list(FEATURE_SETS[schema.PUBLISHED].columns)
    for row, latest in enumerate(found):
        if row == 1:
            assert latest is None
        else:
            assert latest is not None
            assert latest.when == table[schema.EVENT_TIME][row]
            np.testing.assert_array_equal(latest.values, table[columns].iloc[row])
    assert store.published(home) == mark
    store.publish_online(output("b", ["03"]), home)
    assert store.published(home) != mark


def test_a_store_that_is_broken_says_so(tmp_path: Path, output: Callable[..., Path]) -> None:
    home = tmp_path / "home"
    folder = store.publish_online(output("a", ["01"]), home)
    opened = store.open_store(home)
    (folder / "online.db").write_bytes(b"broken" * 100)
    with pytest.raises(store.StoreDownError, match="DatabaseError"):
        opened.values(["01"], schema.PUBLISHED)
