"""LIME: a weighted linear model fitted around one prediction.

Method: Ribeiro, Singh & Guestrin 2016 (https://arxiv.org/abs/1602.04938). Features are left
continuous and neighbours drawn around the row: with the library's quartile bins the linear model
hardly fits at all. A linear model of a banded function can still be poor, hence the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from toolwear.explain.methods.subject import Envelope, Subject, envelope

_TOP = 5


@dataclass(frozen=True)
class LimeSettings:
    """Neighbours drawn a fit, fits a row (each reseeded), and when a fit is called faithful."""

    samples: int = 3000
    repeats: int = 3
    minimum_r2: float = 0.5
    maximum_gap: float = 0.1  # of P(worn), at the row itself


DEFAULT = LimeSettings()


def explain(subject: Subject, rows: np.ndarray, settings: LimeSettings = DEFAULT) -> Envelope:
    """Return the envelope for `rows` (rows, features); data.rows has one entry a row.

    `weights` are slopes: the change of P(worn) for one standard deviation of the background.
    `contributions` are weight times distance from the background's mean, in units of P(worn):
    the linear model's own attribution, which compares with SHAP's in sign and size.
    """
    rows = subject.checked(rows)
    explained = [_explain_row(subject, row, settings) for row in rows]
    r2, gap, jaccard, rank = (
        np.array([row[key] for row in explained], dtype=np.float64)
        for key in ("r2", "gap", "jaccard_top5", "rank_correlation")
    )
    quality = {
        "r2_median": float(np.median(r2)),
        "r2_min": float(r2.min()),
        "gap_median": float(np.median(gap)),
        "gap_max": float(gap.max()),
        "jaccard_top5_mean": float(jaccard.mean()),
        "rank_correlation_mean": float(rank.mean()),
        "faithful": sum(row["faithful"] for row in explained),
        "rows": len(rows),
    }
    return envelope(subject, "lime", "lime", settings, {"rows": explained}, quality)


def _explain_row(subject: Subject, row: np.ndarray, settings: LimeSettings) -> dict[str, Any]:
    mean, scale = _mean_and_scale(subject.background)
    fits = [
        _fit(subject, row, settings.samples, subject.seed + repeat)
        for repeat in range(settings.repeats)
    ]
    weights, local, r2 = fits[0]
    prediction = float(subject.predict(row[None])[0])
    gap = abs(prediction - local)
    jaccard, rank = stability(np.array([fit[0] for fit in fits]))
    return {
        "features": row.tolist(),
        "prediction": prediction,
        "local_prediction": local,
        "weights": weights.tolist(),
        "contributions": (weights * (row - mean) / scale).tolist(),
        "r2": r2,
        "gap": gap,
        "jaccard_top5": jaccard,
        "rank_correlation": rank,
        "faithful": r2 >= settings.minimum_r2 and gap <= settings.maximum_gap,
    }


def _fit(
    subject: Subject, row: np.ndarray, samples: int, seed: int
) -> tuple[np.ndarray, float, float]:
    """Return weights (features,), the linear model's value at the row, and its local R2."""
    from lime.lime_tabular import LimeTabularExplainer

    # LIME draws around a constant with a spread of 1, which no row has ever had: hold it still.
    constant = np.ptp(subject.background, axis=0) == 0

    def probabilities(neighbours: np.ndarray) -> np.ndarray:
        held = np.where(constant, row, neighbours)
        worn = subject.predict(held)
        return np.column_stack([1 - worn, worn])

    # A used explainer has moved on in its random stream: only a fresh one repeats itself.
    explainer = LimeTabularExplainer(
        subject.background,
        feature_names=list(subject.names),
        discretize_continuous=False,
        sample_around_instance=True,
        feature_selection="none",
        random_state=seed,
    )
    found = explainer.explain_instance(
        row, probabilities, labels=(1,), num_features=len(row), num_samples=samples
    )
    weights = np.zeros(len(row))
    for feature, weight in found.local_exp[1]:
        weights[feature] = weight
    return np.where(constant, 0, weights), float(found.local_pred[0]), float(found.score)


def stability(weights: np.ndarray) -> tuple[float, float]:
    """Return how alike reseeded fits (fits, features) are, as means over pairs.

    The first figure is the Jaccard index of the five largest weights, the second the rank
    correlation of the signed weights; both are 1 for identical fits, and for a single one.
    """
    from scipy.stats import spearmanr

    jaccard, rank = [], []
    for one, other in combinations(weights, 2):
        tops = [
            set(np.argsort(-np.abs(fit), kind="stable")[:_TOP].tolist()) for fit in (one, other)
        ]
        jaccard.append(len(tops[0] & tops[1]) / len(tops[0] | tops[1]))
        if np.array_equal(one, other):
            rank.append(1.0)
        elif np.ptp(one) == 0 or np.ptp(other) == 0:
            rank.append(0.0)
        else:
            rank.append(float(spearmanr(one, other).statistic))
    return (float(np.mean(jaccard)), float(np.mean(rank))) if jaccard else (1.0, 1.0)


def _mean_and_scale(background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.preprocessing import StandardScaler

    # As LIME scales: a column without spread gets the scale 1.
    scaler = StandardScaler().fit(background)
    return scaler.mean_, scaler.scale_
