"""Open a folder as a Feast feature store. Feast takes seconds to import: only when called."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from toolwear.common.errors import ToolwearError
from toolwear.common.files import see_database, see_regular
from toolwear.common.fingerprint import ROOT
from toolwear.dataset import contract
from toolwear.dataset.contract import DataSet
from toolwear.features.foreign import CONFIG_FILE, REGISTRY_FILE, foreign
from toolwear.features.names import CONTRACT_FILE, LATEST_FILE

if TYPE_CHECKING:
    from feast import FeatureStore

_CONFIG = ROOT / "feature_repo" / CONFIG_FILE
ONLINE_FILE = "online.db"
_MEMORY = "1500MB"
REDIS = "FEAST_REDIS"  # environment: Feast's connection string, such as "redis:6379,password=..."
# By default the client waits for ever, or tries again until every caller has given up.
_REDIS_LIMITS = "socket_timeout=1,socket_connect_timeout=1,retry=null"


def redis() -> str | None:
    """Return Redis' connection string if the newest features are kept there, not in SQLite."""
    given = os.environ.get(REDIS)
    return f"{given},{_REDIS_LIMITS}" if given else None


def open_folder(folder: Path) -> FeatureStore:
    """Open the store whose data lie in `folder`: all paths are relative to it.

    Its registry is made anew from our definitions; the one that lies in the folder is for Feast's
    own command line, and only looked at.

    Raises:
        ToolwearError: it is not of our definitions.
    """
    own = check_folder(folder)
    return _opened(folder, own / REGISTRY_FILE, redis())


def check_folder(folder: Path) -> Path:
    """See that only our definitions describe a store; runs nothing of what it finds.

    Returns:
        A folder to which the same definitions have been applied.

    Raises:
        ToolwearError: something else does, or a file of the store is not regular.
    """
    see_database(folder / ONLINE_FILE)
    see_regular(folder / LATEST_FILE)
    own = _own(contract_of(folder).content)
    found = foreign(folder, own)
    if found:
        raise ToolwearError(
            f"The feature store {folder} has {found}, which toolwear did not write: it may be "
            "code, and is not opened; finish a training run (toolwear run), which makes it anew."
        )
    return own


def apply_folder(folder: Path, dataset: DataSet) -> FeatureStore:
    """Open the store in `folder` with the definitions of the feature repository applied.

    The folder can be moved, and Feast's own command line works in it.
    """
    return _applied(folder, dataset, redis())


def contract_of(folder: Path) -> DataSet:
    """Return the contract of the data set whose features a store holds."""
    path = folder / CONTRACT_FILE
    # Before anything is published, there is nothing that another one could describe.
    return contract.stored(path) if path.is_file() else contract.default()


def _own(content: str) -> Path:
    """Return a folder of our definitions, which is there as long as this process; takes 20 ms."""
    if not (Path(_made(content).name) / REGISTRY_FILE).is_file():  # somebody has tidied up
        _made.cache_clear()
    return Path(_made(content).name)


@lru_cache(maxsize=4)
def _made(content: str) -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(prefix="toolwear-feast-")
    _applied(Path(folder.name), contract.named(content), None)
    return folder


def _applied(folder: Path, dataset: DataSet, address: str | None) -> FeatureStore:
    from feature_repo.definitions import repository

    contract.keep(dataset, folder / CONTRACT_FILE)
    shutil.copyfile(_CONFIG, folder / CONFIG_FILE)
    (folder / REGISTRY_FILE).unlink(missing_ok=True)  # whatever somebody has put there
    store = _opened(folder, folder / REGISTRY_FILE, address)
    store.apply([*repository(Path(), dataset)])
    return store


def _opened(folder: Path, registry: Path, address: str | None) -> FeatureStore:
    from feast import FeatureStore, RepoConfig

    config: dict[str, Any] = yaml.safe_load(_CONFIG.read_text(encoding="utf-8"))
    config["registry"]["path"] = str(registry.absolute())
    if address is not None:
        config["online_store"] = {"type": "redis", "connection_string": address}
    # Each needs it: the registry is found by the one, the online store by the other.
    return FeatureStore(repo_path=str(folder), config=RepoConfig(repo_path=folder, **config))


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
