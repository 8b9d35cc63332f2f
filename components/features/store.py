"""Feast: the point-in-time join of the training set, and the online store that serving reads.

Feast takes seconds to import, so nothing of it is imported at module level.
"""

from __future__ import annotations

import io
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import yaml

from components.core import jsonfile, schema
from components.core.errors import ToolwearError
from components.core.fingerprint import ROOT
from components.core.home import Home
from components.core.lock import exclusive
from components.features.definitions import FEATURE_COLUMNS, FEATURE_SETS
from components.features.names import (
    FEAST_FOLDER,
    LATEST_FILE,
    LATEST_VIEW,
    PUSH_SOURCE,
    SAMPLES_FOLDER,
    SAMPLES_SERVICE,
    latest_service,
)

if TYPE_CHECKING:
    from feast import FeatureStore

FEATURES_FOLDER = "features"  # of the features step's output
HOME_FOLDER = "feast"  # below the home of toolwear
_CURRENT = "current"
_COMPLETE = "complete"
_CONFIG = ROOT / "feature_repo" / "feature_store.yaml"
_POSITION = "position"
_JOIN_MEMORY = "1500MB"


def publish_online(features: Path, home: Path) -> Path:
    """Make the newest features of each run readable online, and return the store's folder.

    Each output of the features step has a folder of its own, named by its digest, and
    `current` points to the last one published: a reader sees the old or the new store, never
    a mixture, and two runs at a time cannot harm each other. Calling it again changes nothing.

    Args:
        features: output folder of the features step.
        home: the home of toolwear; the store goes to `feast/` below it.

    Raises:
        ToolwearError: `features` is not an output of the features step.
    """
    manifest = features / "manifest.json"
    if not manifest.is_file():
        raise ToolwearError(f"{features.name} is no output of the features step.")
    root = (home / HOME_FOLDER).absolute()
    root.mkdir(parents=True, exist_ok=True)
    folder = root / str(jsonfile.read(manifest)["digest"])
    with exclusive(Home(home).lock("feast"), "publishing features"):
        if not (folder / _COMPLETE).is_file():
            _materialize(features, folder)
        link = root / f".{_CURRENT}.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        link.replace(root / _CURRENT)
    return folder


def open_store(home: Path) -> FeatureStore:
    """Open the store that was published last, to read and to push.

    Args:
        home: the home of toolwear.

    Raises:
        ToolwearError: nothing has been published there.
    """
    current = home.absolute() / HOME_FOLDER / _CURRENT
    if not current.is_dir():
        raise ToolwearError(f"No features are published in {home}; finish a training run first.")
    return _open(current.resolve())


def read_latest(store: FeatureStore, run_ids: Sequence[str], feature_set: str) -> pd.DataFrame:
    """Return the newest features of runs from the online store.

    Returns:
        One row per run id, in the order asked for: `run_id`, `event_timestamp` (UTC),
        `sample_id` and the set's columns; all but `run_id` are null for a run it does not know.
    """
    service = store.get_feature_service(latest_service(feature_set))
    response = store.get_online_features(
        features=service, entity_rows=[{schema.RUN_ID: run} for run in run_ids]
    ).to_dict(include_event_timestamps=True)
    frame = pd.DataFrame(
        {schema.RUN_ID: list(run_ids), schema.SAMPLE_ID: response[schema.SAMPLE_ID]}
    )
    seconds = pd.Series(response[f"{schema.SAMPLE_ID}__ts"], dtype="float64")
    frame[schema.EVENT_TIME] = pd.to_datetime(seconds.where(seconds > 0), unit="s", utc=True)
    for column in FEATURE_SETS[feature_set].columns:
        frame[column] = pd.Series(response[column], dtype="float64")
    return frame


def push_latest(store: FeatureStore, rows: pd.DataFrame) -> None:
    """Put newer features of runs into the online store.

    Args:
        store: as opened by `open_store`.
        rows: one row per run: `run_id`, `event_timestamp` (UTC), `sample_id`, all features.
    """
    from feast.data_source import PushMode

    columns = [schema.RUN_ID, schema.EVENT_TIME, schema.SAMPLE_ID, *FEATURE_COLUMNS]
    store.push(PUSH_SOURCE, rows[columns], to=PushMode.ONLINE)


class TrainingSetJoin:
    """Joins keys and features by point in time, one part of the feature table at a time.

    The cost is linear in the rows because no part knows of another; memory is that of a part.
    """

    def __init__(self, scratch: Path) -> None:
        (scratch / SAMPLES_FOLDER).mkdir(parents=True)
        self._scratch = scratch
        self._part = scratch / SAMPLES_FOLDER / "part.parquet"
        self._store = _apply(scratch)
        self._service = self._store.get_feature_service(SAMPLES_SERVICE)

    def join(self, keys: pd.DataFrame, part: Path) -> pa.Table:
        """Return the features as they were known at each key's time, in the order of the keys.

        Args:
            keys: `sample_id` and `event_timestamp`.
            part: Parquet file with the same keys and the features.
        """
        self._part.unlink(missing_ok=True)
        self._part.symlink_to(part.absolute())
        entities = keys[[schema.SAMPLE_ID, schema.EVENT_TIME]].assign(
            **{_POSITION: range(len(keys))}
        )
        with _bounded_duckdb(self._scratch / "spill"):
            joined = self._store.get_historical_features(
                entity_df=entities, features=self._service
            ).to_arrow()
        return joined.sort_by(_POSITION).select(list(FEATURE_COLUMNS))


def _materialize(features: Path, folder: Path) -> None:
    """Build the store of one output; the marker comes last, so that half a store is built anew."""
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir()
    shutil.copyfile(features / LATEST_FILE, folder / LATEST_FILE)
    (folder / SAMPLES_FOLDER).symlink_to((features / FEATURES_FOLDER).absolute())
    times = pd.read_parquet(folder / LATEST_FILE, columns=[schema.EVENT_TIME])[schema.EVENT_TIME]
    margin = timedelta(seconds=1)
    with redirect_stdout(io.StringIO()):  # Feast prints in colours
        _apply(folder).materialize(
            start_date=times.min().to_pydatetime() - margin,
            end_date=times.max().to_pydatetime() + margin,
            feature_views=[LATEST_VIEW],
        )
    (folder / _COMPLETE).touch()


def _apply(folder: Path) -> FeatureStore:
    from feature_repo.definitions import repository

    store = _open(folder)
    store.apply([*repository(folder)])
    return store


def _open(folder: Path) -> FeatureStore:
    from feast import FeatureStore, RepoConfig

    text = _CONFIG.read_text(encoding="utf-8").replace(f"${{{FEAST_FOLDER}}}", str(folder))
    config: dict[str, Any] = yaml.safe_load(text)
    return FeatureStore(config=RepoConfig(repo_path=folder, **config))


@contextmanager
def _bounded_duckdb(spill: Path) -> Iterator[None]:
    """Give Feast's DuckDB store a connection with a memory limit that leaves nothing behind.

    The store works on ibis' default connection, which would keep every table it has been given.
    """
    import ibis  # type: ignore[import-untyped]

    connection = ibis.duckdb.connect(memory_limit=_JOIN_MEMORY, temp_directory=str(spill))
    ibis.set_backend(connection)
    try:
        with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
            yield
    finally:
        ibis.options.default_backend = None
        connection.disconnect()
