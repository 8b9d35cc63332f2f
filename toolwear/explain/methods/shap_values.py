"""SHAP values of some rows and the envelope that carries them; `shap_paired` estimates them.

What each feature adds to one prediction, against the mean over background rows: Lundberg & Lee
2017 (https://arxiv.org/abs/1705.07874).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolwear.explain.methods.subject import Envelope, Subject, envelope


@dataclass(frozen=True, eq=False)
class Attributions:
    """SHAP values of some rows.

    Attributes:
        values: float64 (rows, features), in units of P(worn).
        standard_error: of each value, from its spread over background rows and the orders in which
            they are walked from; same shape.
        base: mean P(worn) over the background rows that were walked from.
        predictions: P(worn) of the rows.
    """

    values: np.ndarray
    standard_error: np.ndarray
    base: float
    predictions: np.ndarray


def told(
    subject: Subject, rows: np.ndarray, found: Attributions, library: str, settings: Any
) -> Envelope:
    """Return the envelope of attributions that `library` found with `settings`."""
    data = {
        "base_value": found.base,
        "rows": [
            {"features": row, "prediction": p, "values": values, "standard_error": error}
            for row, p, values, error in zip(
                np.asarray(rows).tolist(),
                found.predictions.tolist(),
                found.values.tolist(),
                found.standard_error.tolist(),
                strict=True,
            )
        ],
    }
    total = np.abs(found.values).sum()
    quality = {
        "relative_standard_error": float(found.standard_error.sum() / total) if total else 0.0,
        "rows": len(found.values),
    }
    return envelope(subject, "shap", library, settings, data, quality)
