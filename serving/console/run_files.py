"""What the steps of a run on this machine have left: their part of its log, and their files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from serving.console.evidence import Run
from toolwear.common.errors import ToolwearError
from toolwear.common.files import open_regular, read_end, see_regular

LOG = "log.txt"
_ARTIFACTS = "artifacts"
_LOG_BYTES = 8 << 20  # of the end of a run's log, in which its steps are looked for
_STEP_CHARACTERS = 100_000  # of a step's part of it that are shown
_DOWNLOAD_BYTES = 512 << 20
_MOST_FILES = 300  # of a step that are listed
# As kfp's local runner writes it: the name is coloured.
_BEGINS = re.compile(r"^\S+ - INFO - Executing task '([^']+)'", re.MULTILINE)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Left:
    """A file that a step has left.

    Attributes:
        path: below the run's artifacts, with slashes.
        name: below the step's own folder.
        size: in bytes.
        given: whether it is small enough to be given.
    """

    path: str
    name: str
    size: int
    given: bool


@dataclass(frozen=True)
class Log:
    """A step's part of a run's log.

    Attributes:
        text: of the last attempt.
        cut: whether only its end is there.
    """

    text: str
    cut: bool


def log_of(run: Run, step: str) -> Log | None:
    """Return what a step has printed, None if the run's log tells nothing of it."""
    try:
        text = read_end(run.folder / LOG, _LOG_BYTES)
    except (FileNotFoundError, ToolwearError):
        return None
    text = _UNSEEN.sub("", _COLOURS.sub("", text))
    begun = list(_BEGINS.finditer(text))
    for number in range(len(begun) - 1, -1, -1):
        if begun[number].group(1).replace("-", "_") == step:
            end = begun[number + 1].start() if number + 1 < len(begun) else len(text)
            whole = text[begun[number].start() : end].strip()
            return Log(whole[-_STEP_CHARACTERS:], len(whole) > _STEP_CHARACTERS)
    return None


def files_of(run: Run, step: str) -> tuple[list[Left], int]:
    """Return the files of a step that can be had, and how many more there are."""
    root = run.folder / _ARTIFACTS
    found = []
    for folder in sorted(root.glob(f"*/{step}")):
        if not _is_own(folder, run):
            continue
        for place, folders, names in os.walk(folder):  # which follows no link
            folders.sort()
            for name in sorted(names):
                path = Path(place) / name
                if path.is_file() and not path.is_symlink():
                    below = path.relative_to(root).as_posix()
                    at = path.relative_to(folder).as_posix()
                    size = path.stat().st_size
                    found.append(Left(below, at, size, size <= _DOWNLOAD_BYTES))
    return found[:_MOST_FILES], max(0, len(found) - _MOST_FILES)


def file_of(run: Run, given: str) -> Path | None:
    """Return the file of a path that somebody has sent, None if the run has none to give there."""
    path = run.folder / _ARTIFACTS / given
    try:
        if not _is_own(path, run):
            return None
        with open_regular(path):
            return see_regular(path, _DOWNLOAD_BYTES)
    except (OSError, ValueError, ToolwearError):  # a folder, a device, no name of a file
        return None


def _is_own(path: Path, run: Run) -> bool:
    """Tell whether a path leads to a place in the run's artifacts without a link or a detour."""
    root = run.folder.resolve() / _ARTIFACTS
    whole = root / path.relative_to(run.folder / _ARTIFACTS)
    return whole != root and whole.resolve() == whole
