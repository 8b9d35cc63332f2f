"""Small real model packages for tests: a forest on made-up rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from tests.mill import FEATURE_SETS, MILL
from toolwear.dataset import schema
from toolwear.model.onnx_graph import to_bytes
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.onnx_trees import forest_model
from toolwear.model.package import (
    CARD_FILE,
    GOLDEN_FILE,
    METRICS_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    Package,
    json_bytes,
    write_package,
)
from toolwear.model.reference import reference_bytes, row_keys

COLUMNS = FEATURE_SETS[schema.PUBLISHED].columns


def made_up_rows(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return rows whose first column tells the label, with some noise."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, len(COLUMNS)))
    y = (X[:, 0] + 0.3 * random.normal(size=n) > 0).astype(np.int64)
    return X, y


def forest(X: np.ndarray, y: np.ndarray, trees: int = 20, seed: int = 0) -> bytes:
    """Return the ONNX graph of a forest."""
    fitted = RandomForestClassifier(trees, random_state=seed, n_jobs=1).fit(X, y)
    return to_bytes(forest_model(fitted.estimators_, X))


def parts(seed: int = 0, **changes: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return description and files of a package; `changes` go into the description."""
    X, y = made_up_rows(seed=seed)
    graph = forest(X[:300], y[:300], seed=seed)
    model = OnnxModel(graph)
    golden = X[300:316]
    description = {
        "name": "toolwear",
        "feature_set": schema.PUBLISHED,
        "window": 50,
        "dataset": MILL.model_dump(mode="json"),
        "inputs": [{"name": name, "dtype": "float64"} for name in COLUMNS],
        "outputs": [{"name": "probabilities", "dtype": "float64"}],
        "labels": list(schema.CLASSES),
        "data_digest": "d" * 64,
        "commit": "c" * 40,
        "graph_digest": "e" * 64,
        "seed": seed,
        "abstention": {"low": 0.3, "high": 0.7},
        "envelope": {name: [-6.0, 6.0] for name in COLUMNS},
        "metrics": {"known_runs": {"accuracy": 0.99}},
        "use": "known_runs_only",
        **changes,
    }
    files = {
        MODEL_FILE: graph,
        REFERENCE_FILE: reference_bytes(X[:50], y[:50], row_keys(["01:0", "01:1"])),
        GOLDEN_FILE: json_bytes(
            {
                "rows": golden,
                "probabilities": model.predict_proba(golden),
                "labels": model.labels(golden),
            }
        ),
        METRICS_FILE: json_bytes({"protocols": {}}),
        CARD_FILE: b"# Model card\n",
    }
    return description, files


def make_package(root: Path, seed: int = 0, **changes: Any) -> Package:
    """Write a package and return it."""
    return write_package(root, *parts(seed, **changes))
