"""Back up a home to one file, and bring it back: registry, features, packages, audit log, queues.

What can be made again (run folders, caches) and what must not lie about (secrets, payloads) stays
out.
"""

from __future__ import annotations

import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from components.core import jsonfile
from components.core.digest import file_digest
from components.core.errors import ToolwearError
from components.core.home import Home
from components.core.lock import exclusive
from components.core.package import load_package
from components.promote import audit_log

FORMAT = 1
MANIFEST = "backup.json"
PARTS = (
    "mlflow.db",
    "mlflow",
    "feast",
    "packages",
    "audit.jsonl",
    "serving",
    "approvals",
    "asked.parquet",
    "rollout.json",
    "candidate.json",
    "provenance",
    "refused",
    "monitor",
    "trigger",
)
_SQLITE = b"SQLite format 3\x00"
# Logs of servers, and what the copy of a database has taken in already.
_LEFT_OUT = (".log", "-wal", "-shm", "-journal")
_LOCKS = ("register", "feast", "promote")


def backup(home: Home, file: Path, console: Console) -> None:
    """Write a home to one file; servers and runs may go on meanwhile.

    Raises:
        ToolwearError: there is nothing to back up, the file is there already, or a run keeps the
            registry to itself for too long.
    """
    if not home.root.is_dir() or not any((home.root / part).exists() for part in PARTS):
        raise ToolwearError(f"There is nothing to back up in {home.root}; give a home with --home.")
    if file.exists():
        raise ToolwearError(f"{file} is there already; give another name, so that none is lost.")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as scratch:
        copy = Path(scratch) / "home"
        copy.mkdir()
        with _still(home), console.status("copying"):
            for part in PARTS:
                _copy(home.root / part, copy / part)
        manifest = _manifest(home.root, copy)
        jsonfile.write(copy / MANIFEST, manifest)
        packed = Path(scratch) / "packed"
        with console.status("packing"), tarfile.open(packed, "w:gz") as archive:
            # First, so that a reader knows what is to follow.
            archive.add(copy / MANIFEST, MANIFEST)
            for part in PARTS:
                if (copy / part).exists():
                    archive.add(copy / part, part)
        packed.chmod(0o600)
        packed.replace(file)
    console.print(
        f"{file} holds {len(manifest['files'])} files of {home.root}, "
        f"{file.stat().st_size / 1e6:.1f} MB, sha256 {file_digest(file)[:12]}",
        highlight=False,
        soft_wrap=True,
    )
    outside = home.tracking_uri()
    if not outside.startswith("sqlite:"):
        console.print(f"not in it: the registry at {outside}, which has a database of its own")


def restore(home: Home, file: Path, console: Console, *, overwrite: bool) -> None:
    """Bring a home back from a file, after every byte of it was checked.

    Args:
        home: where it was; the registry names its files by their whole path.
        file: what `backup` wrote.
        console: for progress.
        overwrite: whether what is there may be put aside.

    Raises:
        ToolwearError: the file is not a whole backup of this home, something is there already, or
            a trigger is at work in it.
    """
    there = [part for part in PARTS if (home.root / part).exists()]
    if there and not overwrite:
        raise ToolwearError(
            f"{home.root} holds {', '.join(there)} already; --overwrite puts it aside first."
        )
    home.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.root, prefix=".restore-") as scratch:
        staged = Path(scratch)
        with console.status("unpacking and checking"):
            manifest = _unpacked(file, staged)
            if manifest["home"] != str(home.root):
                raise ToolwearError(
                    f"{file} is of {manifest['home']}, and its registry names files there; restore "
                    f"it with --home {manifest['home']}."
                )
            _check(file, staged, manifest)
        what = "the trigger of this home; end it first"
        with exclusive(home.lock("trigger"), what, seconds=1.0), _still(home):
            aside = home.root / f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
            for part in PARTS:
                if (home.root / part).exists():
                    aside.mkdir(exist_ok=True)
                    (home.root / part).rename(aside / part)
                if (staged / part).exists():
                    (staged / part).rename(home.root / part)
    console.print(
        f"{home.root} is as it was at {manifest['when']}: {len(manifest['files'])} files checked",
        highlight=False,
        soft_wrap=True,
    )
    if there:
        console.print(f"what was there is in {aside}", highlight=False, soft_wrap=True)


@contextmanager
def _still(home: Home) -> Iterator[None]:
    """Keep registration, publishing and promotion from going on meanwhile: the parts then fit."""
    with ExitStack() as stack:
        for name in _LOCKS:
            stack.enter_context(exclusive(home.lock(name), f"the home's {name} lock"))
        yield


def _copy(source: Path, target: Path) -> None:
    if source.is_symlink() and not source.readlink().is_absolute():
        target.symlink_to(source.readlink())
    elif source.is_symlink():
        # Feast's samples lie in the folder of the run that made them, which stays out.
        _copy(source.resolve(), target)
    elif source.is_dir():
        target.mkdir()
        for item in sorted(source.iterdir()):
            if not item.name.startswith(".") and not item.name.endswith(_LEFT_OUT):
                _copy(item, target / item.name)
    elif source.exists():
        _copy_file(source, target)


def _copy_file(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as stream:
            is_database = stream.read(len(_SQLITE)) == _SQLITE
        if not is_database:
            shutil.copy2(source, target)
            return
    except FileNotFoundError:  # a report that its server has cleared away meanwhile
        return
    # Whoever writes to it goes on: SQLite copies the state of one moment.
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=60)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")


def _manifest(root: Path, copy: Path) -> dict[str, Any]:
    files, links = _listing(copy)
    return {
        "format": FORMAT,
        "home": str(root),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": files,
        "links": links,
    }


def _listing(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the digest of each file and the target of each link, by path."""
    files, links = {}, {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            links[name] = str(path.readlink())
        elif path.is_file() and name != MANIFEST:
            files[name] = file_digest(path)
    return files, links


def _unpacked(file: Path, folder: Path) -> dict[str, Any]:
    try:
        with tarfile.open(file, "r:gz") as archive:
            # Refuses what would be written outside of the folder.
            archive.extractall(folder, filter="data")
        manifest: dict[str, Any] = jsonfile.read(folder / MANIFEST)
    except FileNotFoundError:
        raise ToolwearError(
            f"{file} is not there, or is no backup; give what toolwear backup wrote."
        ) from None
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ToolwearError(f"{file} is no whole backup: {error}; use another one.") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ToolwearError(f"{file} is a backup of another format than {FORMAT}.")
    return manifest


def _check(file: Path, folder: Path, manifest: dict[str, Any]) -> None:
    """Check every byte against the list, then what the parts say of themselves."""
    files, links = _listing(folder)
    if files != manifest["files"] or links != manifest["links"]:
        differ = sorted(
            name
            for name in files.keys() | manifest["files"].keys()
            if files.get(name) != manifest["files"].get(name)
        )
        raise ToolwearError(
            f"{file} was changed: {', '.join(differ[:3] or ['a link'])} is not as listed; "
            "use another backup."
        )
    for name in files:
        with (folder / name).open("rb") as stream:
            if stream.read(len(_SQLITE)) != _SQLITE:
                continue
        with closing(sqlite3.connect(folder / name)) as database:
            (state,) = database.execute("PRAGMA integrity_check").fetchone()
        if state != "ok":
            raise ToolwearError(f"{name} in {file} is broken ({state}); use another backup.")
    for package in sorted((folder / "packages").glob("*/package.json")):
        load_package(package.parent)
    audit_log.entries(folder / "audit.jsonl")
