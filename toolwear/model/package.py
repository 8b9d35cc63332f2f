"""The model package: one folder, named by its content, with all that serving needs of a model.

`package.json` holds the SHA-256 of every other file, and the SHA-256 of `package.json` is the
package's digest and the folder's name. Needs NumPy, pydantic and the standard library only, no
pickle: the predictor's image reads packages too.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.files import read_regular
from toolwear.dataset.contract import DataSet, recorded

DESCRIPTION_FILE = "package.json"
MODEL_FILE = "model.onnx"
REFERENCE_FILE = "reference.npz"
GOLDEN_FILE = "golden.json"
CARD_FILE = "MODEL_CARD.md"
METRICS_FILE = "metrics.json"
DRIFT_FILE = "drift.json"  # see toolwear.model.drift
FILES = (MODEL_FILE, REFERENCE_FILE, GOLDEN_FILE, CARD_FILE, METRICS_FILE)
PARTIAL_PREFIX = ".partial-"  # of a package that is being written

OPTIONAL_FILES = (DRIFT_FILE,)
_DESCRIPTION_BYTES = 1 << 20
_FILE_BYTES = 256 << 20  # of each; what a server may really take is the gate's to say

_FORMAT = 3
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEYS = frozenset(
    {
        "name",
        "feature_set",
        "window",
        "dataset",
        "inputs",
        "outputs",
        "labels",
        "data_digest",
        "commit",
        "graph_digest",
        "seed",
        "abstention",
        "envelope",
        "metrics",
        "use",
    }
)


@dataclass(frozen=True)
class Golden:
    """Rows with the answers that the packaged model has to give.

    Attributes:
        rows: float64 (rows, features).
        probabilities: float64 (rows, classes).
        labels: the model's class numbers, int64 (rows,).
    """

    rows: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Package:
    """A package whose every byte has been checked against its digest.

    Attributes:
        folder: that it was read from.
        digest: SHA-256 of its description.
        description: `package.json`.
        contents: of each file.
        dataset: the contract of the recordings that the model was trained on.
    """

    folder: Path
    digest: str
    description: Mapping[str, Any]
    contents: Mapping[str, bytes] = field(repr=False)
    dataset: DataSet = field(repr=False)

    @property
    def version(self) -> str:
        """The digest's first twelve digits, for people."""
        return self.digest[:12]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the model's columns, in their order."""
        return tuple(item["name"] for item in self.description["inputs"])

    @property
    def model(self) -> bytes:
        """The ONNX graph."""
        return self.contents[MODEL_FILE]

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the ONNX graph."""
        return str(self.description["files"][MODEL_FILE])

    @property
    def metrics(self) -> dict[str, Any]:
        """The evaluation's figures of this model."""
        metrics: dict[str, Any] = json.loads(self.contents[METRICS_FILE])
        return metrics

    def golden(self) -> Golden:
        """Return the golden rows."""
        value = json.loads(self.contents[GOLDEN_FILE])
        return Golden(
            rows=np.array(value["rows"], dtype=np.float64),
            probabilities=np.array(value["probabilities"], dtype=np.float64),
            labels=np.array(value["labels"], dtype=np.int64),
        )

    def reference(self) -> dict[str, np.ndarray]:
        """Return the arrays of the reference file.

        X: background rows for explainers, float64 (rows, features); y: their labels (rows,);
        trained_on: `row_keys` of every row that the model was trained on, uint64 (rows,).
        """
        with np.load(io.BytesIO(self.contents[REFERENCE_FILE]), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


def json_bytes(value: Any) -> bytes:
    """Return `value` as JSON with sorted keys; equal values give equal bytes."""
    text = json.dumps(jsonfile.clean(value), indent=2, sort_keys=True, allow_nan=False)
    return f"{text}\n".encode()


def write_package(
    root: Path, description: Mapping[str, Any], contents: Mapping[str, bytes]
) -> Package:
    """Write a package below `root` and return it; the same content is written only once.

    The folder appears whole or not at all: it is filled under another name and then renamed.

    Args:
        root: folder of the packages.
        description: the keys of `package.json` without "files" and "format".
        contents: bytes of each of `FILES`, and of those of `OPTIONAL_FILES` that there are.
    """
    missing = (_KEYS - description.keys()) | (set(FILES) - contents.keys())
    unknown = (description.keys() - _KEYS) | (contents.keys() - {*FILES, *OPTIONAL_FILES})
    if missing or unknown:
        raise ValueError(f"missing: {sorted(missing)}, unknown: {sorted(unknown)}")
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    head = json_bytes({**description, "files": hashes, "format": _FORMAT})
    digest = hashlib.sha256(head).hexdigest()
    folder = root / digest
    if not folder.exists():
        root.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=root, prefix=PARTIAL_PREFIX))
        try:
            for name, data in {**contents, DESCRIPTION_FILE: head}.items():
                _write_durably(partial / name, data)
            _rename(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return load_package(folder)


def is_digest(text: str) -> bool:
    """Tell whether a text can be a package's digest, and so the name of its folder."""
    return _DIGEST.fullmatch(text) is not None


def load_package(folder: Path, digest: str | None = None) -> Package:
    """Read a package and check every byte of it.

    Args:
        folder: the package; may have any name if `digest` is given.
        digest: SHA-256 of its `package.json`; by default the folder's name.

    Raises:
        ToolwearError: it is not a package, not the expected one, was changed, or is of another
            version.
    """
    expected = digest or folder.name
    if not is_digest(expected):
        raise ToolwearError(
            f"'{expected}' does not say which package {folder} has to be; "
            f"give the SHA-256 (64 digits) of its {DESCRIPTION_FILE}."
        )
    try:
        head = read_regular(folder / DESCRIPTION_FILE, _DESCRIPTION_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise ToolwearError(
            f"{folder} is not a model package: it has no {DESCRIPTION_FILE}."
        ) from None
    actual = hashlib.sha256(head).hexdigest()
    if actual != expected:
        raise ToolwearError(
            f"The package in {folder} is {actual[:12]}, not the registered {expected[:12]}; "
            "fetch the registered one again."
        )
    description = json.loads(head)
    if description.get("format") != _FORMAT:
        raise ToolwearError(
            f"The package {expected[:12]} has format {description.get('format')}, and this "
            f"version reads format {_FORMAT}; serve it with the version that wrote it."
        )
    contents = _checked_contents(folder, description["files"])
    dataset = recorded(description.get("dataset"), f"The package {expected[:12]}")
    return Package(folder, actual, description, contents, dataset)


def _checked_contents(folder: Path, hashes: Mapping[str, str]) -> dict[str, bytes]:
    present = {path.name for path in folder.iterdir()}
    wrong = sorted(present ^ {*hashes, DESCRIPTION_FILE})
    if wrong:
        fault = "is missing from" if wrong[0] in hashes else "does not belong in"
        raise ToolwearError(f"{wrong[0]} {fault} the package {folder}; fetch the package again.")
    # Hashed and handed on from one read, so that nobody can change a file in between.
    contents = {name: read_regular(folder / name, _FILE_BYTES) for name in hashes}
    for name, data in contents.items():
        if hashlib.sha256(data).hexdigest() != hashes[name]:
            raise ToolwearError(
                f"{name} in {folder} was changed after it was registered (its SHA-256 differs); "
                "fetch the package again."
            )
    return contents


def _rename(partial: Path, folder: Path) -> None:
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        # Another process has finished the same package in the meantime.


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    path.chmod(0o400)
