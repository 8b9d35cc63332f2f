"""Feature attributions of a model over a set of rows, for registration and the monitor."""

from __future__ import annotations

import numpy as np

from toolwear.explain.methods.shap_paired import PairedSettings, attribute
from toolwear.explain.methods.subject import Predict, Subject

_SETTINGS = PairedSettings(background_rows=8)  # averaged over rows: each may be rough


def leaning(
    worn: Predict, background: np.ndarray, rows: np.ndarray, names: tuple[str, ...]
) -> dict[str, float]:
    """Return each feature's share of the mean absolute SHAP value.

    Args:
        worn: P(worn) of rows (n, features).
        background: rows that explanations start from.
        rows: to explain.
        names: of the features.
    """
    subject = Subject(worn, background, names)
    found = attribute(subject, rows, worn(background), _SETTINGS)
    size = np.abs(found.values).mean(axis=0)
    total = float(size.sum())
    shares = size / total if total > 0 else np.full(len(names), 1 / len(names))
    return dict(zip(names, shares.tolist(), strict=True))
