"""What the steps before the decision leave, made up and small, but in their formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from datasets.cnc_mill import names as mill
from tests.mill import FEATURE_COLUMNS, FEATURE_SETS, FEATURES_MANIFEST, KEY_COLUMNS
from tests.packages import forest
from toolwear.common import jsonfile
from toolwear.common.digest import file_digest
from toolwear.dataset import schema
from toolwear.evaluation.protocols import assign
from toolwear.features.names import LATEST_FILE
from toolwear.model.onnx_model import OnnxModel

COLUMNS = FEATURE_SETS[schema.PUBLISHED].columns
RUNS, ROWS = 6, 80  # rows of a run


@dataclass(frozen=True)
class RunArtifacts:
    """Folders of one run."""

    root: Path

    def __getattr__(self, name: str) -> Path:
        return self.root / name

    def metrics(self) -> dict[str, Any]:
        """Return the evaluation's figures."""
        value: dict[str, Any] = jsonfile.read(self.root / "evaluation" / "metrics.json")
        return value


def make_run(root: Path, seed: int = 0, noise: float = 0.0, data_seed: int = 0) -> RunArtifacts:
    """Write the artifacts of a run.

    Args:
        root: folder to make.
        seed: of the model.
        noise: share of the training labels that are flipped, which makes the model worse.
        data_seed: of the data.
    """
    run = RunArtifacts(root)
    frame = _training_set(data_seed)
    (run.features / "training_set").mkdir(parents=True)
    frame.to_parquet(run.features / "training_set" / "part-00000.parquet", index=False)
    newest = frame.groupby(schema.RUN_ID, as_index=False).last()
    wanted = [schema.RUN_ID, schema.EVENT_TIME, schema.SAMPLE_ID, *FEATURE_COLUMNS]
    newest.reindex(columns=wanted).to_parquet(run.features / LATEST_FILE, index=False)
    jsonfile.write(
        run.features / "manifest.json",
        {
            **FEATURES_MANIFEST,
            "window": 50,
            "stride": 25,
            "restored_order": True,
            "digest": f"features-{data_seed}",
        },
    )
    splits = assign(frame[list(KEY_COLUMNS)])
    run.split.mkdir()
    splits.to_parquet(run.split / "splits.parquet", index=False)
    verdict = {"passed": False, "reasons": [f"It holds {COLUMNS[0]}, which gives it away."]}
    jsonfile.write(
        run.split / "audit.json",
        {
            "protocols": {name: {schema.PUBLISHED: verdict} for name in schema.PROTOCOLS},
            "findings": [f"{COLUMNS[0]} alone tells worn from unworn."],
        },
    )
    jsonfile.write(run.validation / "result.json", {"success": True})
    train = splits[schema.KNOWN_RUNS].to_numpy() == "train"
    X, y = frame[list(COLUMNS)].to_numpy(), frame[schema.LABEL].to_numpy()
    flipped = np.random.default_rng(seed).random(len(y)) < noise
    graph = forest(X[train], np.where(flipped, 1 - y, y)[train], seed=seed)
    run.automl.mkdir()
    (run.automl / "model.onnx").write_bytes(graph)
    jsonfile.write(
        run.automl / "export.json",
        {
            "label_agreement": 1.0,
            "max_abs_diff": 1e-9,
            "full_ensemble": {"label_agreement": 1.0, "max_abs_diff": 1e-9},
            "sha256": file_digest(run.automl / "model.onnx"),
        },
    )
    jsonfile.write(
        run.automl / "search.json",
        {
            "settings": {"seconds": 30, "seed": seed, "space": {}},
            "ensemble": [{"classifier": "random_forest"}],
        },
    )
    _evaluation(run.evaluation, OnnxModel(graph), X[~train], y[~train], X[train])
    jsonfile.write(
        run.explanation / "explanations.json",
        {
            "shap": {"quality": {"exact_error": 0.1, "deletion_top": 0.5, "deletion_random": 0.2}},
            "lime": {"quality": {"rank_correlation_mean": 0.93, "faithful": 0, "rows": 4}},
            "surrogate": {"quality": {"fidelity": 0.9, "interval": [0.8, 0.95]}},
        },
    )
    return run


def _training_set(seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frames = []
    for number in range(1, RUNS + 1):
        label = number % 2
        X = random.normal(size=(ROWS, len(COLUMNS)))
        X[:, 0] = label + 0.05 * random.normal(size=ROWS)
        frame = pd.DataFrame(X, columns=list(COLUMNS))
        run_id = schema.run_id(number)
        frame[schema.SAMPLE_ID] = [schema.sample_id(run_id, row) for row in range(ROWS)]
        frame[schema.RUN_ID] = run_id
        frame[schema.ROW] = frame[schema.TIME_INDEX] = np.arange(ROWS)
        frame[schema.EVENT_TIME] = pd.Timestamp("2020-01-01", tz="UTC")
        frame[mill.PHASE] = mill.ACTIVE_PHASES[0]
        frame[schema.SETTING] = schema.setting((6, 4))
        frame[mill.FEEDRATE] = 6.0
        frame[mill.CLAMP_PRESSURE] = 4.0
        for name in (schema.IS_ACTIVE, schema.IS_CUTTING, schema.IS_WINDOW):
            frame[name] = True
        frame[schema.LABEL] = label
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _evaluation(
    folder: Path, model: OnnxModel, X: np.ndarray, y: np.ndarray, X_train: np.ndarray
) -> None:
    accuracy = float((model.labels(X) == y).mean())
    known = {
        "accuracy": accuracy,
        "precision": accuracy,
        "recall": accuracy,
        "f1": accuracy,
        "mcc": 2 * accuracy - 1,
        "auc": accuracy,
        "n": len(y),
        "unit": "rows",
        "feature_set": schema.PUBLISHED,
        "interval": {"level": 0.95, "method": "wilson", "accuracy": [accuracy - 0.01, 1.0]},
        "published": {"accuracy": 0.9946},
    }
    new = {
        **known,
        "unit": "runs",
        "n": RUNS,
        "published": None,
        "accuracy": 0.5,
        "interval": {"accuracy": [0.19, 0.81]},
        "runs": {"correct": 3, "of": RUNS, "wilson": [0.19, 0.81]},
    }
    jsonfile.write(
        folder / "metrics.json",
        {
            "protocols": {
                schema.KNOWN_RUNS: {schema.AUTO_SKLEARN: known, schema.MAJORITY: known},
                schema.NEW_RUN: {schema.AUTO_SKLEARN: new},
            },
            "statements": ["The band misses its target.", "It knows its runs."],
            "permutation": {"p": 0.3, "asked": True, "left_out": {}},
            "context": {"p": 0.4, "feature_set": schema.PUBLISHED, "against": {}},
            "left_out": {},
            "noise": {
                "rows": len(y),
                "changed": {"float32": 0.0},
                "changed_labels": 0.0,
                "numerical": 0.0,
                "last_digit_points": 0.0,
            },
            "behaviour": {"passed": 0, "of": 0, "checks": []},
        },
    )
    jsonfile.write(
        folder / "abstention.json",
        {
            "low": 0.2,
            "high": 0.8,
            "statements": ["The band misses its target."],
            "unseen": {"per_run": []},
            "envelope": {
                name: [X_train[:, i].min(), X_train[:, i].max()] for i, name in enumerate(COLUMNS)
            },
        },
    )
    golden = X[:8]
    jsonfile.write(
        folder / "golden.json",
        {
            "rows": golden,
            "probabilities": model.predict_proba(golden),
            "labels": model.labels(golden),
        },
    )
    (folder / "plots").mkdir()
    Figure(figsize=(1, 1)).savefig(folder / "plots" / "empty.png")
