"""SHAP: what each feature adds to one prediction, against the mean over background rows.

Method: Lundberg & Lee 2017 (https://arxiv.org/abs/1705.07874), estimated from antithetic random
permutations (https://shap.readthedocs.io/en/latest/generated/shap.PermutationExplainer.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from components.explain.methods.subject import Envelope, Subject, envelope, seeded


@dataclass(frozen=True)
class ShapSettings:
    """Sizes; the cost is permutations x (2 features + 1) x background rows a prediction."""

    background_rows: int = 50
    permutations: int = 10


DEFAULT = ShapSettings()


@dataclass(frozen=True, eq=False)
class Attributions:
    """SHAP values of some rows.

    Attributes:
        values: float64 (rows, features), in units of P(worn).
        standard_error: of each value, from its spread over the permutations; same shape.
        base: mean P(worn) over the background sample.
        predictions: P(worn) of the rows.
    """

    values: np.ndarray
    standard_error: np.ndarray
    base: float
    predictions: np.ndarray

    @property
    def additivity_error(self) -> float:
        """Return the largest distance of base plus values from the prediction."""
        return float(np.abs(self.values.sum(axis=1) + self.base - self.predictions).max())


def attribute(subject: Subject, rows: np.ndarray, settings: ShapSettings = DEFAULT) -> Attributions:
    """Return the SHAP values of `rows` (rows, features).

    A row's values do not depend on the other rows: each starts from the subject's seed.
    """
    import shap

    rows = subject.checked(rows)
    background = subject.sample(settings.background_rows)
    masker = _exact_masker()(background, max_samples=len(background))
    evaluations = settings.permutations * (2 * len(subject.names) + 1)
    values, spreads = [], []
    for row in rows:
        with seeded(subject.seed):
            explainer = shap.explainers.Permutation(subject.predict, masker, seed=subject.seed)
            answer = explainer(row[None], max_evals=evaluations, error_bounds=True, silent=True)
        values.append(answer.values[0])
        # None for a row that equals every background row: there is nothing to attribute.
        spreads.append(np.zeros(len(row)) if answer.error_std is None else answer.error_std[0])
    return Attributions(
        values=np.array(values, dtype=np.float64),
        standard_error=np.array(spreads, dtype=np.float64) / np.sqrt(2 * settings.permutations),
        base=float(subject.predict(background).mean()),
        predictions=subject.predict(rows),
    )


def explain(subject: Subject, rows: np.ndarray, settings: ShapSettings = DEFAULT) -> Envelope:
    """Return the envelope: data.rows has one entry a row, values in the features' order."""
    return told(subject, rows, attribute(subject, rows, settings), "shap", settings)


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
    return envelope(subject, "shap", library, settings, data, quality(found))


def quality(found: Attributions) -> dict[str, Any]:
    """Return how exact the values are: they must add up, and more permutations change little."""
    total = np.abs(found.values).sum()
    return {
        "additivity_error": found.additivity_error,
        "relative_standard_error": float(found.standard_error.sum() / total) if total else 0.0,
        "rows": len(found.values),
    }


@cache
def _exact_masker() -> Any:
    import shap

    class ExactIndependent(shap.maskers.Independent):
        """Background rows in which a value is unchanged only if it is exactly the same.

        shap compares with a tolerance of 1e-8. Columns that hold values near 1e-19 then count as
        constant though a tree splits on them, and the values no longer add up.
        """

        def invariants(self, x: np.ndarray) -> np.ndarray:
            return np.asarray(x == self.data)

    return ExactIndependent
