"""What a run's steps left, as values by their places; what has none, as a digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolwear.common.digest import file_digest, json_digest

# Kept by kfp beside the outputs of a step: its parameters, and the figures of KFP's own artifacts.
EXECUTOR_FILE = "executor_output.json"
PARAMETERS = "parameters"
_TIME = re.compile(r"\d{8}T\d{6}(\.\d+)?Z")

# Scalars of JSON, columns of a table, or, for what is neither, a digest of the bytes.
Leaf = float | str | bool | None | np.ndarray
Leaves = dict[str, Leaf]


@dataclass(frozen=True)
class Run:
    """What one runner made of the graph.

    Attributes:
        name: of the runner.
        root: folder that has a folder for each task, and below it one for each artifact.
        prefixes: folders of this run that its texts may name.
    """

    name: str
    root: Path
    prefixes: tuple[str, ...] = ()

    def artifacts(self) -> dict[str, dict[str, Path]]:
        """Return the files of each artifact, by `task/artifact` and by their names in it."""
        found: dict[str, dict[str, Path]] = {}
        for path in sorted(self.root.rglob("*")):
            if path.is_file():
                task, artifact, *rest = path.relative_to(self.root).parts
                if artifact == EXECUTOR_FILE:
                    artifact, rest = PARAMETERS, [EXECUTOR_FILE]
                # Great Expectations names its pages by the time.
                name = _TIME.sub("TIME", "/".join(rest))
                found.setdefault(f"{task}/{artifact}", {})[name] = path
        return found

    def read(self, path: Path) -> Leaves:
        """Return a file's values by their places."""
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
            columns = {str(name): frame[name].to_numpy() for name in frame.columns}
            return {"": "|".join(columns), **columns}
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        if path.suffix in ("", ".json"):
            try:
                value = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                return {"": file_digest(path)}
            return dict(_leaves(value, "", self.prefixes))
        return {"": file_digest(path)}


def _leaves(value: Any, place: str, prefixes: tuple[str, ...]) -> Iterator[tuple[str, Leaf]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{place}.{key}" if place else str(key), prefixes)
    elif isinstance(value, list):
        names = [item.get("name") for item in value if isinstance(item, Mapping)]
        # Items with names of their own are known by them, wherever they stand.
        named = len(set(names)) == len(value) and all(isinstance(name, str) for name in names)
        for number, item in enumerate(value):
            part = f"/{names[number]}" if named else f"[{number}]"
            yield from _leaves(item, f"{place}{part}", prefixes)
    elif isinstance(value, str):
        for prefix in prefixes:
            value = value.replace(prefix, "")
        yield place, value
    elif isinstance(value, bool) or value is None:
        yield place, value
    else:
        yield place, float(value)


def leaves_digest(leaves: Leaves) -> str:
    """Return one digest of values and their places."""
    return json_digest({place: _digest(leaf) for place, leaf in leaves.items()})


def _digest(leaf: Leaf) -> Any:
    if not isinstance(leaf, np.ndarray):
        return leaf
    if leaf.dtype == object:
        return json_digest([str(item) for item in leaf.ravel()])
    return hashlib.sha256(np.ascontiguousarray(leaf).tobytes()).hexdigest()
