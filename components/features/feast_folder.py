"""Open a folder as a Feast feature store. Feast takes seconds to import: only when called."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from components.core.fingerprint import ROOT

if TYPE_CHECKING:
    from feast import FeatureStore

_CONFIG = ROOT / "feature_repo" / "feature_store.yaml"
_MEMORY = "1500MB"
REDIS = "FEAST_REDIS"  # environment: Feast's connection string, such as "redis:6379,password=..."
# By default the client waits for ever, or tries again until every caller has given up.
_REDIS_LIMITS = "socket_timeout=1,socket_connect_timeout=1,retry=null"


def redis() -> str | None:
    """Return Redis' connection string if the newest features are kept there, not in SQLite."""
    given = os.environ.get(REDIS)
    return f"{given},{_REDIS_LIMITS}" if given else None


def open_folder(folder: Path) -> FeatureStore:
    """Open the store whose registry and data lie in `folder`: all paths are relative to it."""
    from feast import FeatureStore, RepoConfig

    config: dict[str, Any] = yaml.safe_load(_CONFIG.read_text(encoding="utf-8"))
    address = redis()
    if address is not None:
        config["online_store"] = {"type": "redis", "connection_string": address}
    # Each needs it: the registry is found by the one, the online store by the other.
    return FeatureStore(repo_path=str(folder), config=RepoConfig(repo_path=folder, **config))


def apply_folder(folder: Path) -> FeatureStore:
    """Open the store in `folder` with the definitions of the feature repository applied.

    The folder can be moved, and Feast's own command line works in it.
    """
    from feature_repo.definitions import repository

    shutil.copyfile(_CONFIG, folder / _CONFIG.name)
    store = open_folder(folder)
    store.apply([*repository(Path())])
    return store


@contextmanager
def bounded_duckdb(folder: Path) -> Iterator[None]:
    """Give Feast's offline store a connection with a memory limit that leaves nothing behind.

    The store works on ibis' default connection, which would keep every table it has been given.
    It finds a relative path from the working folder, so that is `folder` meanwhile.
    """
    import ibis  # type: ignore[import-untyped]

    connection = ibis.duckdb.connect(memory_limit=_MEMORY, temp_directory=str(folder / "spill"))
    ibis.set_backend(connection)
    try:
        with (
            chdir(folder),
            warnings.catch_warnings(category=DeprecationWarning, action="ignore"),
        ):
            yield
    finally:
        ibis.options.default_backend = None
        connection.disconnect()
