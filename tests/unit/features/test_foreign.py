"""A feature store that others have described: told in one sentence, and nothing of it runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.feast_attacks import KINDS, plant
from tests.mill import MILL
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.features import feast_folder, store
from toolwear.features.feast_folder import apply_folder, check_folder, open_folder

# What Feast itself makes of a registry: without it, an attack that can do nothing would pass.
FEAST = """
import sys
from pathlib import Path
from feast import FeatureStore
store = FeatureStore(sys.argv[1])
for listed in (
    store.list_feature_views,
    store.list_on_demand_feature_views,
    store.list_stream_feature_views,
    store.list_data_sources,
):
    try:
        listed()
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "store"
    made.mkdir()
    apply_folder(made, MILL)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_ours_is_named_and_not_run(folder: Path, tmp_path: Path, kind: str) -> None:
    check_folder(folder)
    mark = tmp_path / "mark"
    said = plant(folder, kind, mark)
    for look in (check_folder, open_folder):
        with pytest.raises(ToolwearError) as raised:
            look(folder)
        assert said in str(raised.value)
    assert not mark.exists()
    with pytest.raises(ToolwearError):
        store.check_stores(tmp_path)


@pytest.mark.process
@pytest.mark.parametrize("kind", ["on-demand view", "stream view", "source of another class"])
def test_the_same_runs_in_feast(folder: Path, tmp_path: Path, kind: str) -> None:
    mark = tmp_path / "mark"
    plant(folder, kind, mark)
    run = subprocess.run(
        [sys.executable, "-c", FEAST, str(folder)],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert mark.exists(), run.stdout + run.stderr


def test_a_store_opens_again_after_the_temporary_files_were_tidied_up(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    feast_folder._made.cache_clear()
    for _ in range(2):
        assert open_folder(folder).list_feature_views()
        (made,) = temporary.iterdir()
        shutil.rmtree(made)
