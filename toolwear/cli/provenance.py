"""Which version and which commit the code is at."""

from __future__ import annotations

import os
import subprocess
from importlib import metadata

from toolwear.common.fingerprint import ROOT

UNKNOWN = "unknown"


def version() -> str:
    """Return the version of the installed package, "unknown" where the code was only copied."""
    try:
        return metadata.version("toolwear")
    except metadata.PackageNotFoundError:
        return UNKNOWN


def commit() -> str:
    """Return the commit, with "-dirty" behind it if the work tree differs, or "unknown".

    `TOOLWEAR_COMMIT` wins: images are built without the repository.
    """
    given = os.environ.get("TOOLWEAR_COMMIT")
    if given:
        return given
    head = _git("rev-parse", "HEAD")
    if not head:
        return UNKNOWN
    return f"{head}-dirty" if _git("status", "--porcelain", "--untracked-files=no") else head


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
