"""Hands the challenger's main figures to the Kubeflow Pipelines UI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from components.evaluate.logic import Evaluation
from components.evaluate.plots import confusion_counts
from components.evaluate.step import published_rows
from toolwear.common import jsonfile
from toolwear.dataset import schema

_POINTS = 100  # of the curve; the UI draws no more


def show(evaluation: Evaluation, automl: Path, metrics: Any, roc: Any, confusion: Any) -> None:
    """Log figures, ROC curve and confusion matrix.

    Args:
        evaluation: what was found.
        automl: output of the search.
        metrics: KFP `Metrics`.
        roc: KFP `ClassificationMetrics`.
        confusion: KFP `ClassificationMetrics`.
    """
    for protocol, models in evaluation.metrics["protocols"].items():
        if schema.AUTO_SKLEARN in models:
            for name in ("accuracy", "mcc", "auc"):
                value = models[schema.AUTO_SKLEARN][name]
                if value is not None and np.isfinite(value):
                    metrics.log_metric(f"{protocol}_{name}", round(float(value), 6))
    if evaluation.metrics["permutation"]["p"] is not None:
        metrics.log_metric("permutation_p", evaluation.metrics["permutation"]["p"])
    rows = published_rows(pd.read_parquet(automl / "predictions.parquet"))
    y, p = rows["y"].to_numpy(), rows["p"].to_numpy()
    if schema.KNOWN_RUNS not in evaluation.metrics["left_out"]:
        false, true, threshold = roc_points(y, p)
        roc.log_roc_curve(false, true, threshold)
    confusion.log_confusion_matrix(list(schema.CLASSES), confusion_counts(y, p).tolist())
    for shown in (metrics, roc, confusion):
        # kfp's local cache holds an artifact without a file for lost, and the step for not done.
        jsonfile.write(Path(shown.path), shown.metadata)


def roc_points(y: np.ndarray, p: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """Return at most `_POINTS` points: false and true positive rate, and the threshold.

    JSON knows no infinity: the first threshold, which nothing reaches, becomes 1.
    """
    false, true, threshold = roc_curve(y, p)
    kept = np.unique(np.linspace(0, len(false) - 1, min(_POINTS, len(false))).astype(int))
    ends = np.minimum(threshold, 1.0)
    return false[kept].tolist(), true[kept].tolist(), ends[kept].tolist()
