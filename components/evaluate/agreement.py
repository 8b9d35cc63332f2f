"""The exported graph beside the ensemble that it was made from, and rows to repeat elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pandas as pd

from toolwear.common.thresholds import Thresholds
from toolwear.dataset import schema
from toolwear.features.dataset import Samples
from toolwear.model.onnx_model import OnnxModel

_GOLDEN = 16
_GOLDEN_UNSURE = 4


def onnx_agreement(
    native: pd.DataFrame, samples: Samples, graph: OnnxModel, limits: Thresholds
) -> dict[str, Any]:
    """Return how far the graph, run here, stands off the ensemble that it was made from.

    Args:
        native: the ensemble's own answers in its own environment.
        samples: the rows.
        graph: the exported graph.
        limits: the thresholds of the export.
    """
    own = native.set_index(schema.SAMPLE_ID)["p"]
    asked = samples.frame[schema.SAMPLE_ID].isin(own.index).to_numpy()
    expected = own.reindex(samples.frame[schema.SAMPLE_ID][asked]).to_numpy()
    rows = samples.X[asked]
    agreement = float((graph.labels(rows) == (expected > 0.5)).mean())
    difference = float(np.abs(graph.worn(rows) - expected).max())
    return {
        "rows": len(rows),
        "label_agreement": agreement,
        "max_abs_diff": difference,
        "runtime": onnxruntime.__version__,
        "passed": agreement >= limits.export.label_agreement
        and difference <= limits.export.probability_tolerance,
    }


def golden(graph: OnnxModel, samples: Samples, test: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    """Return a few test rows with the answers that the graph gives: the unsure, then each run's.

    Args:
        graph: the model.
        samples: n samples.
        test: positions of the test rows (m,).
        p: the graph's P(worn) of them (m,).
    """
    unsure = np.argsort(np.abs(p - 0.5), kind="stable")[:_GOLDEN_UNSURE].tolist()
    _, first = np.unique(samples.run[test], return_index=True)
    label = samples.y[test][first]
    both = [first[label == 0].tolist(), first[label == 1].tolist()]
    turns = [member[turn] for turn in range(len(first)) for member in both if turn < len(member)]
    chosen = list(dict.fromkeys([*unsure, *turns]))[:_GOLDEN]
    rows = samples.X[test[chosen]]
    return {
        "rows": rows,
        "probabilities": graph.predict_proba(rows),
        "labels": graph.labels(rows),
        "columns": list(samples.columns),
        "sample_ids": samples.frame[schema.SAMPLE_ID].iloc[test[chosen]].tolist(),
        "y": samples.y[test[chosen]],
    }
