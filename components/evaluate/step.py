"""Input and output of the evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from components.evaluate import plots, plots_runs
from components.evaluate.logic import Evaluation, Evidence, evaluate_all
from components.evaluate.unseen import Rows
from toolwear.common import jsonfile
from toolwear.common.steps import report
from toolwear.common.thresholds import thresholds
from toolwear.dataset import contract, schema
from toolwear.evaluation.protocols import folds
from toolwear.features.dataset import TRAINING_SET, Samples, load
from toolwear.model.onnx_model import OnnxModel

METRICS, ABSTENTION, GOLDEN, PLOTS = "metrics.json", "abstention.json", "golden.json", "plots"


def evaluate(
    features: Path,
    split: Path,
    models: Path,
    automl: Path,
    data_digest: str,
    seed: int,
    output: Path,
) -> Evaluation:
    """Measure every model, write the figures and pictures below `output` and return them.

    Args:
        features: output of the features step.
        split: output of the split step.
        models: output of the training of baselines.
        automl: output of the search.
        data_digest: of the recordings.
        seed: of bootstraps and noise.
        output: folder to make.
    """
    recorded = contract.of(features)
    samples = load(features, schema.PUBLISHED)
    splits = pd.read_parquet(split / "splits.parquet")
    (fold,) = folds(schema.KNOWN_RUNS, samples, splits)
    predictions = pd.concat(
        [pd.read_parquet(folder / "predictions.parquet") for folder in (models, automl)],
        ignore_index=True,
    )
    audit = jsonfile.read(split / "audit.json")
    evidence = Evidence(
        predictions=predictions,
        samples=samples,
        fold=fold,
        calibration=calibration_rows(features, samples),
        native=pd.read_parquet(automl / "native.parquet"),
        graph=OnnxModel(automl / "model.onnx"),
        permutation=jsonfile.read(models / "training.json")["permutation"],
        session=[item["column"] for item in audit["session_fingerprint"]],
        adjacent=audit["neighbours"]["adjacent_share"],
        published=contract.published(recorded, data_digest),
        dataset=recorded,
        leaks=audit["protocols"][schema.NEW_SETTING][schema.PUBLISHED]["reasons"],
        search=jsonfile.read(automl / "search.json"),
        asked_of=audit["asked_of"],
        left_out=audit["left_out"],
    )
    evaluation = evaluate_all(evidence, thresholds(), seed)
    output.mkdir(parents=True)
    jsonfile.write(output / METRICS, evaluation.metrics)
    jsonfile.write(output / ABSTENTION, evaluation.abstention)
    jsonfile.write(output / GOLDEN, evaluation.golden)
    report("drawing")
    draw(evaluation, published_rows(predictions), output / PLOTS)
    return evaluation


def calibration_rows(features: Path, samples: Samples) -> Rows:
    """Return the rows that no half of the row split holds."""
    table = ds.dataset(features / TRAINING_SET, format="parquet").to_table(
        columns=list(dict.fromkeys((*samples.columns, schema.LABEL, schema.RUN_ID))),
        filter=~ds.field(schema.IS_ACTIVE),
    )
    X = np.column_stack([table.column(name).to_numpy() for name in samples.columns])
    kept = ~np.isnan(X).any(axis=1)
    y = table.column(schema.LABEL).to_numpy().astype(np.int64)
    return Rows(X, y, table.column(schema.RUN_ID).to_numpy().astype(str)).take(kept)


def published_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions on the published split with the published columns."""
    return predictions[
        (predictions["protocol"] == schema.KNOWN_RUNS)
        & (predictions["feature_set"] == schema.PUBLISHED)
    ]


def draw(evaluation: Evaluation, rows: pd.DataFrame, folder: Path) -> None:
    """Write the pictures below `folder`."""
    folder.mkdir()
    metrics: dict[str, Any] = evaluation.metrics
    plots.accuracy(metrics["protocols"], metrics["left_out"], folder / "accuracy.png")
    if any(metrics["protocols"][protocol] for protocol in plots_runs.HELD_OUT):
        plots_runs.verdicts(metrics["protocols"], folder / "run_verdicts.png")
    if metrics["permutation"]["p"] is not None:
        plots_runs.permutation(metrics["permutation"], folder / "permutation.png")
    plots.coverage(evaluation.abstention, folder / "coverage.png")
    if schema.KNOWN_RUNS in metrics["left_out"]:
        return
    plots.curves(rows, folder)
    plots.calibration(metrics["calibration"][schema.KNOWN_RUNS], folder / "calibration.png")
    plots.confusion(rows, folder / "confusion.png")
    model = schema.AUTO_SKLEARN
    plots.slices(metrics["slices"][model], model, folder / "slices.png")
