"""The wheelhouse of an image: every package of its locks, fetched once by pip and kept."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from toolwear.common.digest import files_digest
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT

# A build that has them needs no network; carry the folder to a site that has none.
WHEELS = ROOT / ".wheels"
PIP = ROOT / ".tools" / "bin" / "python"
INTERPRETERS = {"3.12": ROOT / ".venv/bin/python", "3.9": ROOT / ".venv-automl/bin/python"}


def wheelhouse(name: str, python: str, locks: list[Path]) -> Path:
    """Return the folder with all files that `locks` ask for; fetch them if they are not here.

    Args:
        name: of the image.
        python: version of the interpreter that they are for; `make setup` has made it.
        locks: files of hashed requirements.

    Raises:
        ToolwearError: a package can't be fetched, or has another hash than the lock.
    """
    digest = files_digest(locks[0].parent, set(locks))[:12]
    folder = WHEELS / f"{name}-{digest}"
    if folder.exists():
        return folder
    partial = folder.with_name(f".{folder.name}")
    partial.mkdir(parents=True, exist_ok=True)
    print(f"{name}: fetching its packages", flush=True)
    for lock in locks:
        command = [str(PIP), "-m", "pip", "--python", str(INTERPRETERS[python]), "download"]
        command += ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        command += ["--requirement", str(lock), "--dest", str(partial)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise ToolwearError(
                f"The packages of {lock.name} can't be fetched: {done.stderr.strip()[-500:]}"
            )
    for older in WHEELS.glob(f"{name}-*"):
        shutil.rmtree(older)
    partial.rename(folder)
    return folder
