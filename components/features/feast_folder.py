"""Open a folder as a Feast feature store. Feast takes seconds to import: only when called."""

from __future__ import annotations

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


def open_folder(folder: Path) -> FeatureStore:
    """Open the store whose registry and data lie in `folder`."""
    from feast import FeatureStore, RepoConfig

    text = _CONFIG.read_text(encoding="utf-8").replace(f"${{{FEAST_FOLDER}}}", str(folder))
    config: dict[str, Any] = yaml.safe_load(text)
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
