"""The online store: the newest features of each run, for serving to read and machines to push."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.lock import exclusive
from toolwear.dataset import contract, schema
from toolwear.features.definitions import definitions
from toolwear.features.feast_folder import (
    apply_folder,
    bounded_duckdb,
    check_folder,
    contract_of,
    open_folder,
    redis,
)
from toolwear.features.names import (
    FEATURES_FOLDER,
    LATEST_FILE,
    PUSH_SOURCE,
    SAMPLES_FOLDER,
    latest_service,
)
from toolwear.workspace.home import Home

if TYPE_CHECKING:
    from feast import FeatureStore

HOME_FOLDER = "feast"  # below the home of toolwear
CURRENT = "current"
_COMPLETE = "complete.views"  # of stores that hold these views; others are built anew


def published(home: Path) -> tuple[int, int] | None:
    """Return a mark of the store that was published last, None if there is none.

    It costs a microsecond, and differs once another store is published or this one is made anew.
    """
    try:
        found = os.stat(f"{home}/{HOME_FOLDER}/{CURRENT}/{_COMPLETE}")  # noqa: PTH116 - each request asks
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


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
        if not _is_whole(folder):
            _materialize(features, folder)
        elif redis() is not None:
            _fill(open_folder(folder), folder)  # it may be empty: its data do not lie in the folder
        link = root / f".{CURRENT}.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        link.replace(root / CURRENT)
    return folder


def open_store(home: Path) -> OnlineStore:
    """Open the store that was published last; takes seconds, for Feast's import.

    Args:
        home: the home of toolwear.

    Raises:
        ToolwearError: nothing has been published there, or others than ours describe it.
    """
    root = home.absolute() / HOME_FOLDER
    current = root / CURRENT
    if not current.is_dir():
        raise ToolwearError(f"No features are published in {home}; finish a training run first.")
    folder = current.resolve()
    if folder.parent != root.resolve():
        raise ToolwearError(
            f"{current} leads out of {root}; finish a training run (toolwear run), which mends it."
        )
    return OnlineStore(folder)


def check_stores(root: Path) -> None:
    """See that only our definitions describe the stores of a home; runs nothing of what it finds.

    Args:
        root: the home's folder of stores, there or not.

    Raises:
        ToolwearError: something else describes one.
    """
    for folder in sorted(root.glob("*")):
        check_folder(folder)


class StoreDownError(Exception):
    """The online store does not answer; the text says why, for the log."""


@dataclass(frozen=True, eq=False)
class Latest:
    """The newest features of a run.

    Attributes:
        when: time of the telemetry row that they belong to, UTC.
        values: float64 (columns,), NaN where there is none.
    """

    when: datetime
    values: np.ndarray


class OnlineStore:
    """A published store, open to read and to push; threads may share it."""

    def __init__(self, folder: Path) -> None:
        # Bound here: looking a module up anew with each read is a tenth of its time.
        from feast.errors import FeastError
        from feast.infra.provider import get_provider
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value
        from redis.exceptions import RedisError

        self._failures = (OSError, FeastError, RedisError, sqlite3.Error)
        self._key: Any = EntityKey
        self._value: Any = Value
        self._store = open_folder(folder)
        self._online = get_provider(self._store.config)
        self._made = definitions(contract_of(folder))
        self._views = {name: self._store.get_feature_view(name) for name in self._made.views}
        self._lock = Lock()  # Feast's SQLite connection does not bear two threads at a time
        # Kept, because Feast parses a service anew each time it is asked for.
        self._services = {
            name: self._store.get_feature_service(latest_service(name)) for name in self._made.sets
        }

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """Names of the feature sets that it holds."""
        return tuple(self._services)

    def latest(self, run_ids: Sequence[str], feature_set: str) -> pd.DataFrame:
        """Return the newest features of runs.

        Returns:
            One row per run id, in the order asked for: `run_id`, `sample_id`, `event_timestamp`
            (UTC, whole seconds) and the set's columns; all but `run_id` are null for a run that
            the store does not know.
        """
        with self._lock:
            response = self._store.get_online_features(
                features=self._services[feature_set],
                entity_rows=[{schema.RUN_ID: run_id} for run_id in run_ids],
            )
        found = response.to_dict(include_event_timestamps=True)
        seconds = pd.Series(found[f"{schema.SAMPLE_ID}__ts"], dtype="float64")
        columns = self._made.sets[feature_set].columns
        return pd.DataFrame(
            {
                schema.RUN_ID: list(run_ids),
                schema.SAMPLE_ID: found[schema.SAMPLE_ID],
                schema.EVENT_TIME: pd.to_datetime(seconds.where(seconds > 0), unit="s", utc=True),
                **{column: pd.Series(found[column], dtype="float64") for column in columns},
            }
        )

    def values(self, run_ids: Sequence[str], feature_set: str) -> list[Latest | None]:
        """Return the newest features of runs, None for a run that the store does not know.

        For serving: asks Feast's online store itself. `FeatureStore.get_online_features` reads
        the same rows, but spends fifty times as long on describing its answer.

        Raises:
            StoreDownError: the store does not answer.
        """
        chosen = self._made.sets[feature_set]
        columns, view = chosen.columns, self._views[chosen.view]
        keys = [
            self._key(join_keys=[schema.RUN_ID], entity_values=[self._value(string_val=run_id)])
            for run_id in run_ids
        ]
        try:
            with self._lock:
                found = self._online.online_read(self._store.config, view, keys, list(columns))
        except self._failures as error:
            raise StoreDownError(f"{type(error).__name__}: {error}") from error
        return [_latest(when, values, columns) for when, values in found]

    def push(self, rows: pd.DataFrame) -> None:
        """Put newer features of runs into the store; the caller sees to it that they are newer.

        Args:
            rows: one row per run: `run_id`, `event_timestamp` (UTC), `sample_id`, all features.
        """
        from feast.data_source import PushMode

        columns = [schema.RUN_ID, schema.EVENT_TIME, schema.SAMPLE_ID, *self._made.columns]
        with self._lock:
            self._store.push(PUSH_SOURCE, rows[columns], to=PushMode.ONLINE)


def _latest(
    when: datetime | None, values: Mapping[str, Any] | None, columns: Sequence[str]
) -> Latest | None:
    if when is None or values is None:
        return None
    row = np.full(len(columns), np.nan)
    for place, column in enumerate(columns):
        value = values.get(column)
        if value is not None and value.HasField("double_val"):
            row[place] = value.double_val
    return Latest(when.replace(tzinfo=UTC) if when.tzinfo is None else when, row)


def _is_whole(folder: Path) -> bool:
    """Tell whether a store was built to its end, and nothing of it was put there since."""
    try:
        check_folder(folder)
    except ToolwearError:
        return False
    return (folder / _COMPLETE).is_file() and not folder.is_symlink()


def _materialize(features: Path, folder: Path) -> None:
    """Build the store of one output; the marker comes last, so that half a store is built anew."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir()
    shutil.copyfile(features / LATEST_FILE, folder / LATEST_FILE)
    samples, home = (features / FEATURES_FOLDER).absolute(), folder.parents[1]
    # Relative within the home, so that it can be moved.
    inside = samples.is_relative_to(home)
    (folder / SAMPLES_FOLDER).symlink_to(os.path.relpath(samples, folder) if inside else samples)
    _fill(apply_folder(folder, contract.of(features)), folder)
    (folder / _COMPLETE).touch()


def _fill(store: FeatureStore, folder: Path) -> None:
    """Put the newest rows of a folder where they are read online; newer ones there stay."""
    times = pd.read_parquet(folder / LATEST_FILE, columns=[schema.EVENT_TIME])[schema.EVENT_TIME]
    margin = timedelta(seconds=1)
    # Feast prints in colours, to where a step tells its progress.
    with redirect_stdout(io.StringIO()), bounded_duckdb(folder):
        store.materialize(
            start_date=times.min().to_pydatetime() - margin,
            end_date=times.max().to_pydatetime() + margin,
            feature_views=list(definitions(contract_of(folder)).views),
        )
