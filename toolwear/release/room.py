"""What takes room in a home, by kind: runs, packages, payloads, reports and verdicts."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from toolwear.common.thresholds import Budget, Disk, thresholds
from toolwear.model.package import is_digest
from toolwear.release import stored
from toolwear.run import run_folder
from toolwear.run.run_folder import ARGUMENTS_FILE, FAILURE_FILE, LOCK, RECORD, REPORT_FILE
from toolwear.run.run_name import is_run_name
from toolwear.run.scoring import attempts
from toolwear.workspace.home import Home

_ARTIFACTS = "artifacts"  # how MLflow calls the folder of a run's or a model's files


class Kind(StrEnum):
    """Of what has a budget; names of `thresholds.Disk`."""

    RUNS = "runs"
    PACKAGES = "packages"
    PAYLOADS = "payloads"
    REPORTS = "reports"
    VERDICTS = "verdicts"


@dataclass(frozen=True)
class Part:
    """What is removed as a whole.

    Attributes:
        name: the run's, the package's digest, the file's, or that of the attempt at a job.
        paths: in the home, none of them a link or reached by one.
        bytes: of all that is in them.
        at: when it was made, seconds since 1970.
    """

    name: str
    paths: tuple[Path, ...]
    bytes: int
    at: float


@dataclass(frozen=True)
class Used:
    """What there is of a kind.

    Attributes:
        kind: of what.
        bytes: of all of it.
        budget: of the kind.
    """

    kind: Kind
    bytes: int
    budget: Budget

    @property
    def over(self) -> bool:
        """Whether that is more than there may be."""
        return self.bytes > self.budget.bytes

    def __str__(self) -> str:
        most = "" if self.budget.gigabytes is None else f" of {size(self.budget.bytes)}"
        return f"{self.kind} {size(self.bytes)}{most}"


def used(home: Home, budgets: Disk | None = None) -> list[Used]:
    """Return what there is of each kind; reads no file's content, and follows no link.

    Args:
        home: the system's folder.
        budgets: by default those of the reviewed file.
    """
    return [
        Used(kind, sum(part.bytes for part in parts(home, kind)), budget(kind, budgets))
        for kind in Kind
    ]


def budget(kind: Kind, budgets: Disk | None = None) -> Budget:
    """Return the budget of a kind."""
    found: Budget = getattr(budgets or thresholds().disk, kind)
    return found


def parts(home: Home, kind: Kind) -> list[Part]:
    """Return what there is of a kind, the oldest first."""
    of_kind = {
        Kind.RUNS: _runs,
        Kind.PACKAGES: _packages,
        Kind.PAYLOADS: _payloads,
        Kind.REPORTS: _reports,
        Kind.VERDICTS: _verdicts,
    }
    return sorted(of_kind[kind](home), key=lambda part: (part.at, part.name))


def size(count: float) -> str:
    """Return bytes for people, in MB below a gigabyte."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def shown(name: str) -> str:
    """Return a part's name for people: of a digest the first digits."""
    return name[:12] if is_digest(name) else name


def _runs(home: Home) -> Iterator[Part]:
    for folder in run_folder.folders(home.root):
        kept = {*RECORD, LOCK}
        paths = [path for path in _listed(home, folder) if path.name not in kept]
        if paths:
            yield _part(folder.name, paths, folder / ARGUMENTS_FILE)


def _packages(home: Home) -> Iterator[Part]:
    owners = defaultdict(set)
    for version in stored.versions(home.database):
        for path in version.paths:
            owners[path].add(version.package)
    copies = defaultdict(list)
    for path, packages in sorted(owners.items()):
        ours = path.name == _ARTIFACTS and path.is_relative_to(home.mlflow_artifacts)
        if ours and len(packages) == 1 and _is_own(home, path):
            copies[packages.pop()].append(path)
    for folder in _listed(home, home.packages):
        if is_digest(folder.name):
            yield _part(folder.name, [folder, *copies[folder.name]], folder)


def _payloads(home: Home) -> Iterator[Part]:
    for path in _listed(home, home.payloads):
        yield _part(path.name, [path], path)


def _reports(home: Home) -> Iterator[Part]:
    for folder in run_folder.folders(home.root):
        pages = [folder / name for name in (REPORT_FILE, FAILURE_FILE)]
        pages = [page for page in pages if _is_own(home, page)]
        if pages:
            yield _part(folder.name, pages, folder / ARGUMENTS_FILE)
    for path in _listed(home, home.monitor_reports):
        yield _part(path.name, [path], path)


def _verdicts(home: Home) -> Iterator[Part]:
    for folder in _listed(home, attempts(home)):
        if is_run_name(folder.name):
            yield _part(folder.name, [folder], folder)


def _part(name: str, paths: Iterable[Path], dated: Path) -> Part:
    paths = tuple(paths)
    at = 0.0
    with suppress(OSError):
        at = dated.lstat().st_mtime
    return Part(name, paths, sum(map(_bytes, paths)), at)


def _listed(home: Home, folder: Path) -> list[Path]:
    """Return what lies in a folder of the home; nothing of one that a link leads to."""
    if not _is_own(home, folder) or not folder.is_dir():
        return []
    return [Path(entry) for entry in os.scandir(folder) if not entry.is_symlink()]


def _is_own(home: Home, path: Path) -> bool:
    """Tell whether a path is there, in the home, and neither a link nor reached by one."""
    inside = path.is_relative_to(home.root) and path != home.root
    return inside and os.path.lexists(path) and path.resolve() == path


def _bytes(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; what has gone counts nothing."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    if not stat.S_ISDIR(found.st_mode):
        return found.st_size
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(f"{folder}/{name}").st_size
    return total
