"""How far SHAP values may be trusted: measures that a wrong attribution does not pass.

That values add up to the prediction says nothing: walks from row to row add up whatever they
attribute. So the values are compared with all coalitions of features, with those of another
background, and with what happens to the prediction once the features that they rank first are
replaced (Samek et al. 2017, https://doi.org/10.1109/TNNLS.2016.2599820).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolwear.explain.methods import shap_paired
from toolwear.explain.methods.subject import Predict, Subject

_DELETED_SHARE = 0.25  # of the features are replaced at a time, one at least
_DRAWS = 20  # of as many features at random


@dataclass(frozen=True)
class CheckSettings:
    """Rows that are compared with all coalitions, up to how many features, and redraws.

    Attributes:
        exact_rows: compared with exact values; a row costs 2 ** features x background rows.
        exact_features: with more, the exact values are out of reach.
        walks: repeats whose mean stands in for exact values then.
        redraws: of the background, for the spread of the base value.
    """

    exact_rows: int = 2
    exact_features: int = 12
    walks: int = 20
    redraws: int = 200


DEFAULT = CheckSettings()


def quality(
    subject: Subject,
    rows: np.ndarray,
    values: np.ndarray,
    count: int,
    settings: CheckSettings = DEFAULT,
) -> dict[str, Any]:
    """Return the figures.

    `exact_error`: summed distance from the reference values as a share of these; `reference` says
    what they are. `background_error`: the same from the values against another background.
    `base_population` is the mean P(worn) over all background rows, `base_sd` the spread of the
    base value over redraws. `deletion_top` is how far P(worn) moves, on average, when the features
    with the largest values take the values of background rows, `deletion_random` when as many at
    random do.

    Args:
        subject: the model; its background is all that background rows are drawn from.
        rows: explained, (n, features).
        values: their values against `subject.drawn(count)`, (n, features).
        count: background rows.
        settings: sizes.
    """
    drawn = subject.drawn(count)
    few = np.unique(np.linspace(0, len(rows) - 1, min(settings.exact_rows, len(rows))).astype(int))
    if len(subject.names) <= settings.exact_features:
        reference, how = exact(subject.predict, drawn.background, rows[few]), "all coalitions"
    else:
        reference, how = _repeated(drawn, rows[few], settings.walks), f"{settings.walks} repeats"
    other = shap_paired.over_all(subject.drawn(count, subject.seed + 1), rows)
    top, random = deletion(drawn, rows, values)
    worn = subject.predict(subject.background)
    redraws = range(subject.seed + 1, subject.seed + 1 + settings.redraws)
    bases = [worn[subject.places(count, seed)].mean() for seed in redraws]
    return {
        "exact_error": _distance(values[few], reference),
        "exact_rows": len(few),
        "reference": how,
        "background_error": _distance(other.values, values),
        "base_population": float(worn.mean()),
        "base_sd": float(np.std(bases)),
        "deletion_top": top,
        "deletion_random": random,
        "deleted": _deleted(subject),
    }


def exact(predict: Predict, background: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the SHAP values over all 2 ** features coalitions, (rows, features)."""
    import shap

    class ExactIndependent(shap.maskers.Independent):
        """Background rows in which a value is unchanged only if it is exactly the same.

        shap compares with a tolerance of 1e-8. Columns that hold values near 1e-19 then count as
        constant though a tree splits on them.
        """

        def invariants(self, x: np.ndarray) -> np.ndarray:
            return np.asarray(x == self.data)

    masker = ExactIndependent(background, max_samples=len(background))
    explainer = shap.explainers.Exact(predict, masker)
    answers = [
        explainer(row[None], max_evals=2 ** len(row) + 1, silent=True).values[0] for row in rows
    ]
    return np.array(answers, dtype=np.float64)


def deletion(subject: Subject, rows: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Return how far P(worn) moves without the features that are ranked first, and without others.

    Args:
        subject: the model; every background row gives the values that are put in their places.
        rows: explained, (n, features).
        values: attributions, (n, features).

    Returns:
        Means over rows: without the features of the largest absolute values, and without as many
        drawn at random.
    """
    draw = np.random.default_rng(subject.seed)
    features = len(subject.names)
    count = _deleted(subject)
    predictions = subject.predict(rows)
    moved = []
    for row, value, prediction in zip(rows, values, predictions, strict=True):
        sets = [
            np.argsort(-np.abs(value), kind="stable")[:count],
            *(draw.choice(features, count, replace=False) for _ in range(_DRAWS)),
        ]
        asked = np.tile(row, (len(sets), len(subject.background), 1))
        for place, chosen in enumerate(sets):
            asked[place][:, chosen] = subject.background[:, chosen]
        worn = subject.predict(asked.reshape(-1, features)).reshape(len(sets), -1).mean(axis=1)
        shifts = np.abs(worn - prediction)
        moved.append((shifts[0], shifts[1:].mean()))
    top, random = np.mean(moved, axis=0).tolist()
    return top, random


def _deleted(subject: Subject) -> int:
    return max(1, round(_DELETED_SHARE * len(subject.names)))


def _repeated(subject: Subject, rows: np.ndarray, repeats: int) -> np.ndarray:
    again = [
        shap_paired.over_all(replace(subject, seed=subject.seed + repeat), rows).values
        for repeat in range(1, repeats + 1)
    ]
    mean: np.ndarray = np.mean(again, axis=0)
    return mean


def _distance(values: np.ndarray, reference: np.ndarray) -> float:
    total = float(np.abs(reference).sum())
    # Below rounding there is nothing to attribute.
    return float(np.abs(values - reference).sum()) / total if total > 1e-9 else 0.0
