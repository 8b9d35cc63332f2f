"""Open a folder as a Feast feature store. Feast takes seconds to import: only when called."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from components.core.fingerprint import ROOT
from components.features.names import FEAST_FOLDER

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
    """Open the store whose registry and data lie in `folder`."""
    from feast import FeatureStore, RepoConfig

    text = _CONFIG.read_text(encoding="utf-8").replace(f"${{{FEAST_FOLDER}}}", str(folder))
    config: dict[str, Any] = yaml.safe_load(text)
    address = redis()
    if address is not None:
        config["online_store"] = {"type": "redis", "connection_string": address}
    return FeatureStore(config=RepoConfig(repo_path=folder, **config))


def apply_folder(folder: Path) -> FeatureStore:
    """Open the store in `folder` with the definitions of the feature repository applied."""
    from feature_repo.definitions import repository

    store = open_folder(folder)
    store.apply([*repository(folder)])
    return store


@contextmanager
def bounded_duckdb(spill: Path) -> Iterator[None]:
    """Give Feast's offline store a connection with a memory limit that leaves nothing behind.

    The store works on ibis' default connection, which would keep every table it has been given.
    """
    import ibis  # type: ignore[import-untyped]

    connection = ibis.duckdb.connect(memory_limit=_MEMORY, temp_directory=str(spill))
    ibis.set_backend(connection)
    try:
        with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
            yield
    finally:
        ibis.options.default_backend = None
        connection.disconnect()
