"""Back up a home to one file, and bring it back: registry, features, packages, audit log, queues.

What can be made again (artifacts of runs, caches) and what must not be copied into backups
(secrets, payloads) stays out.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from components.cli.backup_contents import PARTS, SQLITE, copy_part, missing, parts
from components.core import jsonfile
from components.core.digest import file_digest
from components.core.errors import EXIT_FAILURE, ToolwearError
from components.core.home import Home
from components.core.lock import exclusive
from components.core.moved import follow
from components.core.package import load_package
from components.features.store import check_stores
from components.promote import audit_log

FORMAT = 2
MANIFEST = "backup.json"
_LOCKS = ("register", "feast", "promote")


def backup(home: Home, file: Path, console: Console) -> None:
    """Write a home to one file; servers and runs may go on meanwhile.

    Raises:
        ToolwearError: there is nothing to back up, the file is there already, or a run keeps the
            registry to itself for too long.
        SystemExit: the registry names files that are gone; all else is in the backup.
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
            moved = follow(home)
            for part in parts(home.root):
                (copy / part).parent.mkdir(exist_ok=True)
                copy_part(home.root / part, copy / part)
        manifest = {**_manifest(home.root, copy), "missing": missing(home.root, copy)}
        jsonfile.write(copy / MANIFEST, manifest)
        packed = Path(scratch) / "packed"
        with console.status("packing"), tarfile.open(packed, "w:gz") as archive:
            # First, so that a reader knows what is to follow.
            archive.add(copy / MANIFEST, MANIFEST)
            for path in sorted(copy.iterdir()):
                if path.name != MANIFEST:
                    archive.add(path, path.name)
        packed.chmod(0o600)
        packed.replace(file)
    console.print(
        f"{file} holds {len(manifest['files'])} files of {home.root}, "
        f"{file.stat().st_size / 1e6:.1f} MB, sha256 {file_digest(file)[:12]}",
        soft_wrap=True,
    )
    if moved:
        console.print(moved, soft_wrap=True)
    outside = home.tracking_uri()
    if not outside.startswith("sqlite:"):
        console.print(f"not in it: the registry at {outside}, which has a database of its own")
    if _told_missing(manifest, console):
        sys.exit(EXIT_FAILURE)


def restore(home: Home, file: Path, console: Console, *, overwrite: bool) -> None:
    """Bring a home back from a file, after every byte of it was checked.

    Args:
        home: where it was, or another place.
        file: what `backup` wrote.
        console: for progress.
        overwrite: whether what is there may be put aside.

    Raises:
        ToolwearError: the file is not a whole backup, something is there already, or a trigger is
            at work in it.
    """
    there = [part for part in PARTS if os.path.lexists(home.root / part)]
    if there and not overwrite:
        raise ToolwearError(
            f"{home.root} holds {', '.join(there)} already; --overwrite puts it aside first."
        )
    home.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.root, prefix=".restore-") as scratch:
        staged = Path(scratch)
        with console.status("unpacking and checking"):
            manifest = _unpacked(file, staged)
            _check(file, staged, manifest)
        what = "running the trigger of this home"
        with exclusive(home.lock("trigger"), what, seconds=1.0), _still(home):
            aside = home.root / f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
            for part in there:
                aside.mkdir(exist_ok=True)
                (home.root / part).rename(aside / part)
            for path in staged.iterdir():
                # A run's folder that is there still has all that was copied of it, and more.
                if path.name != MANIFEST and not (home.root / path.name).is_dir():
                    path.rename(home.root / path.name)
        moved = follow(home)
    console.print(
        f"{home.root} is as it was at {manifest['when']}: {len(manifest['files'])} files checked",
        soft_wrap=True,
    )
    if there:
        console.print(f"what was there is in {aside}", soft_wrap=True)
    if moved:
        console.print(moved, soft_wrap=True)
    _told_missing(manifest, console)


@contextmanager
def _still(home: Home) -> Iterator[None]:
    """Keep registration, publishing and promotion from going on meanwhile: the parts then fit."""
    with ExitStack() as stack:
        for name in _LOCKS:
            stack.enter_context(exclusive(home.lock(name), f"holding the home's {name} lock"))
        yield


def _told_missing(manifest: dict[str, Any], console: Console) -> bool:
    lacking = manifest["missing"]
    if lacking:
        console.print(
            Text.assemble(
                ("not in it", "red"), f", though the registry names them: {', '.join(lacking)}"
            ),
            soft_wrap=True,
        )
    return bool(lacking)


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
            if stream.read(len(SQLITE)) != SQLITE:
                continue
        with closing(sqlite3.connect(folder / name)) as database:
            (state,) = database.execute("PRAGMA integrity_check").fetchone()
        if state != "ok":
            raise ToolwearError(f"{name} in {file} is broken ({state}); use another backup.")
    for package in sorted((folder / "packages").glob("*/package.json")):
        load_package(package.parent)
    audit_log.entries(folder / "audit.jsonl")
    check_stores(folder / "feast")
