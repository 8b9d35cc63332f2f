"""What of a home is in a backup, how it is copied, and what the copy lacks."""

from __future__ import annotations

import fnmatch
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path, PurePath

from toolwear.common.errors import ToolwearError
from toolwear.common.files import open_regular
from toolwear.release import stored
from toolwear.run.run_folder import ARGUMENTS_FILE, LATEST, RECORD
from toolwear.workspace.home import Home
from toolwear.workspace.moved import PLACE_FILE

# What is in a backup of the home, beside the record of each run.
PARTS = (
    PLACE_FILE,
    "mlflow.db",
    "mlflow",
    "feast",
    "packages",
    "records.db",
    "serving",
    "approvals",
    "asked.parquet",
    "rollout.json",
    "candidate.json",
    "provenance",
    "refused",
    "monitor",
    "trigger",
    LATEST,
)
_RUNS = "2*"  # a run's folder begins with its year
SQLITE = b"SQLite format 3\x00"
# Logs of servers, and what the copy of a database has taken in already.
_LEFT_OUT = (".log", "-wal", "-shm", "-journal")


def parts(root: Path) -> list[str]:
    """Return the paths of all that is copied, as far as it is there."""
    runs = [
        f"{path.name}/{part}"
        for path in sorted(root.glob(_RUNS))
        if (path / ARGUMENTS_FILE).exists()
        for part in RECORD
    ]
    return [part for part in (*PARTS, *runs) if os.path.lexists(root / part)]


def is_part(path: PurePath) -> bool:
    """Tell whether a path below a home is one of what a backup holds, or a run's folder."""
    first, *rest = path.parts or ("",)
    if first in PARTS:
        return True
    return fnmatch.fnmatchcase(first, _RUNS) and (not rest or rest[0] in RECORD)


def missing(root: Path, copy: Path) -> list[str]:
    """Return what the local registry names and its copy lacks, beside what was pruned.

    Args:
        root: the home.
        copy: its copy.
    """
    found = []
    for version in stored.versions(copy / "mlflow.db"):
        for path in () if version.pruned else (*version.paths, root / "packages" / version.package):
            inside = path.is_relative_to(root)
            if not inside or not (copy / path.relative_to(root)).exists():
                found.append(f"{path} of version {version.number}")
    return found


def copy_part(root: Path, source: Path, target: Path, through: tuple[Path, ...] = ()) -> None:
    """Copy a file, a folder or a database of a home.

    Args:
        root: the home.
        source: in it.
        target: is not there yet.
        through: the links that led to it.

    Raises:
        ToolwearError: a link leads to what is none of the home's or in circles, or something is
            no file at all.
    """
    # A link to a neighbour is kept; Feast's samples lie with the artifacts of a run.
    if source.is_symlink() and len(source.readlink().parts) == 1:
        target.symlink_to(source.readlink())
    elif source.is_symlink():
        aim = source.resolve()
        _check_link(root, source, aim, through)
        copy_part(root, aim, target, (*through, aim))
    elif source.is_dir():
        target.mkdir()
        for item in sorted(source.iterdir()):
            if not item.name.startswith(".") and not item.name.endswith(_LEFT_OUT):
                copy_part(root, item, target / item.name, through)
    elif source.is_file():
        _copy_file(source, target)
    elif source.exists():
        raise ToolwearError(f"{source} is neither a file nor a folder; remove it.")


def _check_link(root: Path, source: Path, aim: Path, through: tuple[Path, ...]) -> None:
    secrets = Home(root).secrets
    if source.is_relative_to(aim) or aim in through:
        raise ToolwearError(f"{source} is a link that leads back to itself; remove it.")
    if not aim.is_relative_to(root) and not _only_samples(aim):
        raise ToolwearError(
            f"{source} is a link to {source.readlink()}, which lies outside of the home and is "
            "no folder of Parquet files; remove it."
        )
    if aim.is_relative_to(secrets) or secrets.is_relative_to(aim):
        raise ToolwearError(f"{source} leads to the secrets, which no backup holds; remove it.")


def _only_samples(folder: Path) -> bool:
    """Tell whether this is what Feast's samples may be of a run that was done elsewhere."""
    return not folder.exists() or all(
        not path.is_symlink() and (path.is_dir() or (path.is_file() and path.suffix == ".parquet"))
        for path in (folder, *folder.rglob("*"))
    )


def _copy_file(source: Path, target: Path) -> None:
    try:
        with open_regular(source) as stream:
            if stream.read(len(SQLITE)) != SQLITE:
                stream.seek(0)
                # From what was opened: what has this name by now may be another file.
                with target.open("wb") as copy:
                    shutil.copyfileobj(stream, copy)
                about = os.fstat(stream.fileno())
                os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))
                return
    except FileNotFoundError:  # a report that its server has cleared away meanwhile
        return
    # Whoever writes to it goes on: SQLite copies the state of one moment.
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=60)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")
