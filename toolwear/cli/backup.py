"""Back up a home to one file, and bring it back: registry, features, packages, audit log, queues.

What can be made again (artifacts of runs, caches) and what must not be copied into backups
(secrets, payloads) stays out.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from toolwear.cli import backup_file
from toolwear.cli.approvals import print_log_fault
from toolwear.cli.backup_contents import PARTS, SQLITE, copy_part, missing, parts
from toolwear.cli.backup_list import Audit, Manifest, listed
from toolwear.common.digest import file_digest
from toolwear.common.errors import EXIT_FAILURE, ToolwearError
from toolwear.common.files import see_database
from toolwear.common.lock import exclusive
from toolwear.common.person import who
from toolwear.features.store import check_stores
from toolwear.model.package import load_package
from toolwear.release import audit_log, marks, sealed_log
from toolwear.workspace import seal
from toolwear.workspace.home import Home
from toolwear.workspace.moved import follow

_LOCKS = ("register", "feast", "promote")
# What lies beside a database that nobody closed, and would be taken for part of the restored one.
_BESIDE = ("-journal", "-wal", "-shm")


def backup(home: Home, file: Path, console: Console) -> None:
    """Write a home to one file, sealed; servers and runs may go on meanwhile.

    Raises:
        ToolwearError: there is nothing to back up, the file is there already, the audit log was
            changed, or a run keeps the registry to itself for too long.
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
            # A copy of a log that was changed would take the place of one that was not.
            audit_log.entries(home)
            moved = follow(home)
            for part in parts(home.root):
                (copy / part).parent.mkdir(exist_ok=True)
                copy_part(home.root, home.root / part, copy / part)
        manifest = _listed(home, copy)
        packed = Path(scratch) / "packed"
        with console.status("packing"):
            backup_file.pack(copy, manifest, packed)
        packed.replace(file)
    console.print(
        f"{file} holds {len(manifest.files)} files of {home.root}, "
        f"{file.stat().st_size / 1e6:.1f} MB, sha256 {file_digest(file)[:12]}, sealed with key "
        f"{seal.own().id}",
        soft_wrap=True,
    )
    if moved:
        console.print(moved, soft_wrap=True)
    print_log_fault(home, console)
    outside = home.tracking_uri()
    if not outside.startswith("sqlite:"):
        console.print(f"not in it: the registry at {outside}, which has a database of its own")
    if _told_missing(manifest, console):
        sys.exit(EXIT_FAILURE)


def restore(
    home: Home,
    file: Path,
    console: Console,
    *,
    overwrite: bool,
    unsealed: bool = False,
    most: int | None = None,
) -> None:
    """Bring a home back from a file, after its seal and every byte of it were checked.

    Args:
        home: where it was, or another place.
        file: what `backup` wrote.
        console: for progress.
        overwrite: whether what is there may be put aside.
        unsealed: whether it may be one that no key which is here has sealed.
        most: bytes that it may unpack to; None: in proportion to the file's size.

    Raises:
        ToolwearError: the file is not a whole backup or not sealed, something is there already, or
            a trigger is at work in it.
    """
    there = [part for part in PARTS if os.path.lexists(home.root / part)]
    if there and not overwrite:
        raise ToolwearError(
            f"{home.root} holds {', '.join(there)} already; --overwrite puts it aside first."
        )
    home.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.root, prefix=".restore-") as scratch:
        staged = Path(scratch)
        with console.status("unpacking and checking"), backup_file.opened(file) as found:
            manifest = found.manifest
            fault = _check_seal(file, manifest, unsealed)
            found.unpack(staged, most)
        with console.status("checking what it holds"):
            _check(file, staged, manifest)
        what = "running the trigger of this home"
        with exclusive(home.lock("trigger"), what, seconds=1.0), _still(home):
            aside = home.root / f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
            known = marks.at(home)
            _put_aside(home, there, aside)
            for path in staged.iterdir():
                # A run's folder that is there still has all that was copied of it, and more.
                if not (home.root / path.name).is_dir():
                    path.rename(home.root / path.name)
            why = f"The backup of {manifest.when.isoformat()} {fault}." if fault else ""
            audit_log.restored(home, why, who(), known)
        moved = follow(home)
    console.print(
        f"{home.root} is as it was at {manifest.when.isoformat()}: {len(manifest.files)} files "
        "checked",
        soft_wrap=True,
    )
    if there:
        console.print(f"what was there is in {aside}", soft_wrap=True)
    if moved:
        console.print(moved, soft_wrap=True)
    print_log_fault(home, console)
    _told_missing(manifest, console)


def show_key() -> None:
    """Print the key that seals, made if there is none, and to whom it is of use."""
    print(seal.own().text)
    print(
        "toolwear: keep this key elsewhere; it tells your backups and audit logs from others. On "
        f"another machine, put it into {seal.KEY_VARIABLE} or into {seal.key_file()}.",
        file=sys.stderr,
    )


@contextmanager
def _still(home: Home) -> Iterator[None]:
    """Keep registration, publishing and promotion from going on meanwhile: the parts then fit."""
    with ExitStack() as stack:
        for name in _LOCKS:
            stack.enter_context(exclusive(home.lock(name), f"holding the home's {name} lock"))
        yield


def _told_missing(manifest: Manifest, console: Console) -> bool:
    lacking = manifest.missing
    if lacking:
        console.print(
            Text.assemble(
                ("not in it", "red"), f", though the registry names them: {', '.join(lacking)}"
            ),
            soft_wrap=True,
        )
    return bool(lacking)


def _listed(home: Home, copy: Path) -> Manifest:
    log = sealed_log.examine(Home(copy).records, seal.known())
    return listed(
        copy,
        home=str(home.root),
        when=datetime.now(UTC).replace(microsecond=0),
        missing=missing(home.root, copy),
        audit=Audit(count=log.count, head=log.head),
    ).sealed(seal.own())


def _check_seal(file: Path, manifest: Manifest, unsealed: bool) -> str:
    """Return why it is not known to be ours, empty if it is."""
    fault = manifest.unsealed(seal.known())
    if fault and not unsealed:
        raise ToolwearError(
            f"{file} {fault}, so that anyone may have made it: bring the key here (--key-file, "
            f"{seal.KEY_VARIABLE}), or, if you know where it is from, restore it with --unsealed."
        )
    return fault


def _put_aside(home: Home, there: list[str], aside: Path) -> None:
    beside = [f"{part}{end}" for part in PARTS for end in _BESIDE]
    for part in [*there, *(name for name in beside if os.path.lexists(home.root / name))]:
        aside.mkdir(exist_ok=True)
        (home.root / part).rename(aside / part)


def _check(file: Path, folder: Path, manifest: Manifest) -> None:
    """Check what the parts say of themselves."""
    for name in manifest.files:
        with (folder / name).open("rb") as stream:
            if stream.read(len(SQLITE)) != SQLITE:
                continue
        try:
            with closing(sqlite3.connect(see_database(folder / name))) as database:
                (state,) = database.execute("PRAGMA integrity_check").fetchone()
        except sqlite3.DatabaseError as error:
            state = str(error)
        if state != "ok":
            raise ToolwearError(f"{name} in {file} is broken ({state}); use another backup.")
    for package in sorted((folder / "packages").glob("*/package.json")):
        load_package(package.parent)
    check_stores(folder / "feast")
    log = sealed_log.examine(Home(folder).records, seal.known())
    if log.changed:
        raise ToolwearError(
            f"The audit log in {file} was changed: {log.changed}; use another backup."
        )
    if Audit(count=log.count, head=log.head) != manifest.audit:
        raise ToolwearError(
            f"The audit log in {file} has {log.count} entries, and its list says another one of "
            f"{manifest.audit.count}; use another backup."
        )
