"""A home that was moved or copied goes on where it is now.

What can be kept relative is. MLflow's database holds whole paths, as do the trigger's requests and
the cache of Kubeflow Pipelines: these are rewritten once the home is used in its new place.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from toolwear.common import jsonfile
from toolwear.common.files import TEXT_BYTES, read_regular, see_database
from toolwear.common.lock import exclusive
from toolwear.workspace.home import Home

PLACE_FILE = "place.json"
# Table and column of the registry's paths, which begin with the home's.
_REGISTRY = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("tags", "value"),
    ("model_version_tags", "value"),
)


def follow(home: Home) -> str:
    """Rewrite what names the place where the home was; return a sentence, empty if it was here.

    Args:
        home: the system's folder; it may not be there yet.
    """
    if not home.root.is_dir() or _recorded(home) == home.root:
        return ""
    with exclusive(home.lock("place"), "following the move of a home"):
        before = _recorded(home)
        if before == home.root:
            return ""
        changed = 0
        if before is not None:
            changed = _in_registry(home, before) + _in_trigger(home, before)
            _drop_caches(home, before)
        jsonfile.write(home.root / PLACE_FILE, {"home": str(home.root)})
    if before is None:
        return ""
    return f"this home was at {before}: {changed} paths in it now say {home.root}"


def _recorded(home: Home) -> Path | None:
    """Return where the home last knew that it was, None if it never did."""
    try:
        return Path(jsonfile.read(home.root / PLACE_FILE)["home"])
    except FileNotFoundError:
        return _by_registry(home)


def _by_registry(home: Home) -> Path | None:
    if not home.database.exists():
        return None
    with _open(home.database) as database:
        rows = database.execute("SELECT artifact_location FROM experiments ORDER BY experiment_id")
        found = [Path(unquote(urlsplit(location).path)) for (location,) in rows if location]
    places = [path.parent for path in found if path.name == home.mlflow_artifacts.name]
    return places[0] if places else None


def _in_registry(home: Home, before: Path) -> int:
    if not home.database.exists():
        return 0
    changed = 0
    with _open(home.database) as database:
        for table, column in _REGISTRY:
            for old, new in ((before.as_uri(), home.root.as_uri()), (str(before), str(home.root))):
                changed += database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
                ).rowcount
        # MLflow's own experiment, which it put below the working folder of whoever came first.
        changed += database.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0 "
            "AND artifact_location != ?",
            (own := (home.mlflow_artifacts / "0").as_uri(), own),
        ).rowcount
    for path in home.mlflow_artifacts.glob("models/*/artifacts/MLmodel"):
        text = read_regular(path, TEXT_BYTES).decode()
        jsonfile.write_text(path, text.replace(before.as_uri() + "/", home.root.as_uri() + "/"))
    return changed


def _in_trigger(home: Home, before: Path) -> int:
    """Rewrite the folders of requests that wait: those of a bucket are copied into the home."""
    path = home.trigger / "trigger.db"
    if not path.exists():
        return 0
    with _open(path) as database:
        return database.execute(
            "UPDATE causes SET parameters = replace(parameters, ?, ?) "
            "WHERE instr(parameters, ?) > 0",
            (f'"{before}/', f'"{home.root}/', f'"{before}/'),
        ).rowcount


def _drop_caches(home: Home, before: Path) -> None:
    """Let steps be done anew: the key of a cached one holds the whole paths of its inputs."""
    for path in home.root.glob(".cache*/*.json"):
        if f"{before}/" in read_regular(path, TEXT_BYTES).decode():
            path.unlink()


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(see_database(path), timeout=60)) as database, database:
        yield database
