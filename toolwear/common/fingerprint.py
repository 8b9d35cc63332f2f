"""A digest of the code that a step runs, so that a cache forgets what changed code had made.

Kubeflow Pipelines' local cache sees a step's few lines but not the modules that they import.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from toolwear.common.digest import file_digest, files_digest, json_digest

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("components", "feature_repo", "serving", "toolwear")
# The code that every image holds, since steps import across these folders.
IMAGE_PACKAGES = (*_PACKAGES, "datasets", "pipelines")
_DATA_SUFFIXES = {".yaml", ".j2", ".html", ".css", ".json"}


def code_fingerprint() -> str:
    """Return the digest of all code and locks: an image with another one runs other code."""
    files = {
        path
        for package in IMAGE_PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return files_digest(ROOT, files | set((ROOT / "requirements").glob("*.txt")))


def step_fingerprint(step: str, lock_file: str) -> str:
    """Return the digest of the modules that the step imports, directly or not, and of its lock.

    Args:
        step: name of the folder below `components`.
        lock_file: name of the hashed requirements file below `requirements`.
    """
    folder = ROOT / "components" / step
    seen = imported(path for path in folder.rglob("*.py") if path.name != "component.py")
    # Templates and thresholds stand beside the code that reads them.
    data = {
        sibling
        for parent in {path.parent for path in seen}
        for sibling in parent.iterdir()
        if sibling.suffix in _DATA_SUFFIXES
    }
    if ROOT / "toolwear" / "dataset" / "contract.py" in seen:
        data |= set((ROOT / "datasets").rglob("*.toml"))
    # What is imported by a name that a contract says.
    if ROOT / "toolwear" / "dataset" / "hooks.py" in seen:
        data |= set((ROOT / "datasets").rglob("*.py"))
    lock = file_digest(ROOT / "requirements" / lock_file)
    return json_digest([files_digest(ROOT, seen | data), lock])[:16]


def imported(files: Iterable[Path]) -> set[Path]:
    """Return these modules and all of ours that they import, directly or not."""
    seen: set[Path] = set()
    queue = list(files)
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue.extend(_imported_files(path))
    return seen


def _imported_files(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.split(".")[0] in _PACKAGES:
                yield from _module_files(name)


def _module_files(name: str) -> Iterator[Path]:
    base = ROOT.joinpath(*name.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            yield candidate
