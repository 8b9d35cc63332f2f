"""What goes into the model package, gathered from the earlier steps' artifacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.register import drift, figures
from components.register.logic import render
from toolwear.common import jsonfile
from toolwear.common.steps import report
from toolwear.common.thresholds import thresholds
from toolwear.dataset import contract, schema
from toolwear.evaluation.protocols import folds
from toolwear.features import dataset
from toolwear.features.dataset import Samples
from toolwear.features.definitions import definitions
from toolwear.model.abstention import Abstention
from toolwear.model.onnx_model import PROBABILITY_OUTPUT, OnnxModel
from toolwear.model.onnx_trees import tree_nodes
from toolwear.model.package import (
    CARD_FILE,
    DRIFT_FILE,
    GOLDEN_FILE,
    METRICS_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    json_bytes,
)
from toolwear.model.reference import (
    BACKGROUND_ROWS,
    background_places,
    reference_bytes,
    row_keys,
)


@dataclass(frozen=True)
class Folders:
    """What the earlier steps left."""

    evaluation: Path
    explanation: Path
    split: Path
    features: Path
    automl: Path
    decision: Path


@dataclass(frozen=True)
class Lineage:
    """Where a model comes from."""

    commit: str
    data_digest: str
    graph_digest: str
    seed: int
    cause: str


@dataclass(frozen=True, eq=False)
class Contents:
    """The package to be and what MLflow is told beside it.

    Attributes:
        description: for `package.json`.
        files: bytes of the package's files.
        decision: content of decision.json.
        metrics: content of metrics.json.
        headline: the dozen figures that runs are compared by.
        parameters: what the features and the search were made with.
        training: the rows that the model was trained on.
    """

    description: dict[str, Any]
    files: dict[str, bytes]
    decision: dict[str, Any]
    metrics: dict[str, Any]
    headline: dict[str, float]
    parameters: dict[str, Any]
    training: Samples


def gather(folders: Folders, lineage: Lineage, name: str) -> Contents:
    """Return the contents; equal artifacts and lineage give equal bytes.

    Neither the decision nor the cause is a part of it: the same model judged again stays the
    same package.

    Args:
        folders: what the earlier steps left.
        lineage: where the model comes from.
        name: of the registered model.
    """
    metrics = jsonfile.read(folders.evaluation / "metrics.json")
    abstention = jsonfile.read(folders.evaluation / "abstention.json")
    decision = jsonfile.read(folders.decision / "decision.json")
    recorded = contract.of(folders.features)
    made = definitions(recorded)
    feature_set = decision["challenger"]["feature_set"]
    samples = dataset.load(folders.features, feature_set)
    splits = pd.read_parquet(folders.split / "splits.parquet")
    train = folds(schema.KNOWN_RUNS, samples, splits)[0].train_index
    description = {
        "name": name,
        "feature_set": feature_set,
        "window": jsonfile.read(folders.features / "manifest.json")["window"],
        "dataset": recorded.model_dump(mode="json"),
        "inputs": [{"name": column, "dtype": "float64"} for column in samples.columns],
        "outputs": [{"name": PROBABILITY_OUTPUT, "dtype": "float64"}],
        "labels": list(schema.CLASSES),
        "data_digest": lineage.data_digest,
        "commit": lineage.commit,
        "graph_digest": lineage.graph_digest,
        "seed": lineage.seed,
        "abstention": {"low": abstention["low"], "high": abstention["high"]},
        "envelope": abstention["envelope"],
        "metrics": _headline(metrics),
        "use": decision["use"],
    }
    # The rows that the explanations of this run started from.
    background = train[background_places(samples.run[train], BACKGROUND_ROWS, lineage.seed)]
    graph = (folders.automl / "model.onnx").read_bytes()
    files = {
        MODEL_FILE: graph,
        REFERENCE_FILE: reference_bytes(
            samples.X[background],
            samples.y[background],
            row_keys(samples.frame[schema.SAMPLE_ID].to_numpy()[train]),
        ),
        GOLDEN_FILE: json_bytes(jsonfile.read(folders.evaluation / "golden.json")),
        METRICS_FILE: json_bytes(metrics),
        CARD_FILE: render(
            description=description,
            metrics=metrics,
            audit=jsonfile.read(folders.split / "audit.json"),
            explanations=jsonfile.read(folders.explanation / "explanations.json"),
            coverage=abstention,
            members=_members(folders.automl),
            training={"rows": len(train), "runs": len(set(samples.run[train]))},
            size={"bytes": len(graph), "tree_nodes": tree_nodes(graph)},
        ).encode(),
        DRIFT_FILE: drift.reference(
            drift.rows(folders.features, feature_set, made),
            samples.columns,
            made,
            drift.Judge(
                OnnxModel(graph).worn,
                Abstention.of(samples.columns, abstention, abstention["envelope"]),
                samples.X[background],
            ),
            thresholds().monitor.window_rows,
            report,
        ).to_bytes(),
    }
    search = jsonfile.read(folders.automl / "search.json")
    shown = figures.headline(metrics, abstention, search, decision["challenger"]["footprint"])
    return Contents(
        description,
        files,
        decision,
        metrics,
        shown,
        _parameters(folders),
        _training(samples, train),
    )


def _headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    names = ("accuracy", "precision", "recall", "f1", "mcc", "auc", "n", "unit")
    return {
        protocol: {
            name: models[schema.AUTO_SKLEARN][name]
            for name in names
            if name in models[schema.AUTO_SKLEARN]
        }
        for protocol, models in metrics["protocols"].items()
        if schema.AUTO_SKLEARN in models
    }


def _members(automl: Path) -> str:
    """Return "4 models (3 gradient boosting, 1 extra trees)"."""
    ensemble = jsonfile.read(automl / "search.json")["ensemble"]
    families = Counter(member["classifier"].replace("_", " ") for member in ensemble)
    told = ", ".join(f"{count} {name}" for name, count in families.most_common())
    return f"{len(ensemble)} model{'s' if len(ensemble) > 1 else ''} ({told})"


def _parameters(folders: Folders) -> dict[str, Any]:
    features = jsonfile.read(folders.features / "manifest.json")
    search = jsonfile.read(folders.automl / "search.json")["settings"]
    plain = (str, int, float, bool)
    return {
        **{name: features[name] for name in ("window", "stride", "restored_order")},
        **{f"search_{name}": value for name, value in search.items() if isinstance(value, plain)},
    }


def _training(samples: Samples, train: np.ndarray) -> Samples:
    return Samples(
        X=samples.X[train],
        y=samples.y[train],
        run=samples.run[train],
        setting=samples.setting[train],
        settings=samples.settings[train],
        setting_names=samples.setting_names,
        frame=samples.frame.iloc[train].reset_index(drop=True),
        columns=samples.columns,
        of_windows=samples.of_windows,
    )
