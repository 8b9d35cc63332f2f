"""The packages that answered, as the monitor needs them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from serving.monitor.judge import Judge
from toolwear.common.errors import ToolwearError
from toolwear.common.thresholds import Monitor
from toolwear.dataset import schema
from toolwear.explain.leaning import leaning
from toolwear.model.drift import Reference
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import DRIFT_FILE, Package, load_package
from toolwear.release.decisions import KNOWN_RUNS_ONLY
from toolwear.workspace.home import Home

_log = logging.getLogger("toolwear.monitor")


class Packages:
    """Loads each package once.

    Args:
        home: the system's folder.
        thresholds: from the reviewed file.
    """

    def __init__(self, home: Path, thresholds: Monitor) -> None:
        self._root = Home(home).packages
        self._thresholds = thresholds
        self._judges: dict[str, Judge | None] = {}
        self._uses: dict[str, str] = {}

    def judge(self, digest: str) -> Judge | None:
        """Return the judge of a package; None, said once in the log, if it has no reference."""
        self._load(digest)
        return self._judges[digest]

    def use(self, digest: str) -> str:
        """Return what a package may be used for; one that is gone is not for new recordings."""
        self._load(digest)
        return self._uses.get(digest, KNOWN_RUNS_ONLY)

    def _load(self, digest: str) -> None:
        if digest in self._judges:
            return
        self._judges[digest] = None
        try:
            package = load_package(self._root / digest)
            self._uses[digest] = str(package.description["use"])
            self._judges[digest] = judge(package, self._thresholds)
        except ToolwearError as error:
            _log.error("nothing can be compared with package %s: %s", digest[:12], error)


def judge(package: Package, thresholds: Monitor) -> Judge:
    """Return the judge of a package.

    Raises:
        ToolwearError: it has no reference, or one of another version.
    """
    if DRIFT_FILE not in package.contents:
        raise ToolwearError(
            f"The package {package.version} has no {DRIFT_FILE}; run the pipeline again to "
            "register a model with one."
        )
    try:
        reference = Reference.from_bytes(package.contents[DRIFT_FILE])
    except ValidationError as error:
        raise ToolwearError(
            f"The {DRIFT_FILE} of package {package.version} is of another version: "
            f"{error.errors()[0]['msg']}; run the pipeline again."
        ) from None
    dataset = package.dataset
    return Judge(
        reference,
        float(package.description["metrics"][schema.KNOWN_RUNS]["accuracy"]),
        thresholds,
        _lean(package),
        dataset.settings[dataset.regime[0]] if dataset.regime else None,
    )


def _lean(package: Package) -> Callable[[np.ndarray], dict[str, float]]:
    model = OnnxModel(package.model)
    background = package.reference()["X"]
    return lambda rows: leaning(model.worn, background, rows, package.features)
