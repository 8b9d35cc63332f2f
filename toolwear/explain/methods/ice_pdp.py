"""ICE and PDP: the prediction as one feature alone is moved, row by row and on average.

Methods: Goldstein et al. 2015 (https://arxiv.org/abs/1309.6392) and Friedman 2001
(https://doi.org/10.1214/aos/1013203451), computed by scikit-learn
(https://scikit-learn.org/stable/modules/partial_dependence.html). Both ask the model about
combinations of values that correlated signals may never show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from toolwear.explain.methods.subject import Envelope, Predict, Subject, envelope


@dataclass(frozen=True)
class CurveSettings:
    """Background rows that are moved, and grid points a feature (fewer if it has fewer values)."""

    rows: int = 200
    points: int = 30


DEFAULT = CurveSettings()


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves of one feature.

    Attributes:
        grid: values that the feature is set to, float64 (points,), rising.
        individual: P(worn) of each background row, float64 (rows, points).
        average: their mean as scikit-learn gives it, float64 (points,).
        explained: P(worn) of each explained row, float64 (explained rows, points).
    """

    grid: np.ndarray
    individual: np.ndarray
    average: np.ndarray
    explained: np.ndarray


def curves(
    subject: Subject, rows: np.ndarray, settings: CurveSettings = DEFAULT
) -> dict[str, Curves]:
    """Return the curves of every feature, for background rows and for `rows`."""
    rows = subject.checked(rows)
    sample = subject.sample(settings.rows)
    model = _AsRegressor(subject.predict)
    found = {}
    for feature, name in enumerate(subject.names):
        grid = feature_grid(subject.background[:, feature], settings.points)
        average, individual = _dependence(model, sample, feature, grid)
        explained = _dependence(model, rows, feature, grid)[1]
        found[name] = Curves(grid, individual, average, explained)
    return found


def feature_grid(values: np.ndarray, points: int) -> np.ndarray:
    """Return at most `points` rising values of a feature, dense where its rows are dense.

    Every one is a value that was recorded: a quantile, not a value between two.
    """
    return np.unique(np.quantile(values, np.linspace(0, 1, points), method="nearest"))


def explain(
    subject: Subject, rows: np.ndarray, settings: CurveSettings = DEFAULT
) -> tuple[Envelope, Envelope]:
    """Return the envelopes of ICE and of PDP."""
    return envelopes(subject, curves(subject, rows, settings), settings)


def envelopes(
    subject: Subject, found: dict[str, Curves], settings: CurveSettings = DEFAULT
) -> tuple[Envelope, Envelope]:
    """Return curves as the envelopes of ICE and of PDP.

    ICE has the explained rows' curves, the quantiles of the background rows' and `interaction`:
    how much these differ in shape (0: the feature acts alike in every row). PDP has their mean,
    its `swing` from lowest to highest and how often it `turns`. `halves_gap` is the largest
    distance between the mean curves of two halves of the rows: what other rows would have changed.
    """
    rows = len(next(iter(found.values())).individual)
    quality = {
        "halves_gap": max(_halves_gap(c.individual) for c in found.values()),
        "grid_points": max(len(c.grid) for c in found.values()),
        "rows": rows,
        "background_share": rows / len(subject.background),
    }
    ice = {name: _ice(c) for name, c in found.items()}
    pdp = {name: _pdp(c) for name, c in found.items()}
    return (
        envelope(subject, "ice", "scikit-learn", settings, {"curves": ice}, quality),
        envelope(subject, "pdp", "scikit-learn", settings, {"curves": pdp}, quality),
    )


def _ice(found: Curves) -> dict[str, Any]:
    low, median, high = np.quantile(found.individual, [0.1, 0.5, 0.9], axis=0)
    return {
        "grid": found.grid.tolist(),
        "rows": found.explained.tolist(),
        "quantiles": {"0.1": low.tolist(), "0.5": median.tolist(), "0.9": high.tolist()},
        "interaction": _interaction(found.individual),
    }


def _pdp(found: Curves) -> dict[str, Any]:
    rows = len(found.individual)
    return {
        "grid": found.grid.tolist(),
        "mean": found.average.tolist(),
        "standard_error": (found.individual.std(axis=0) / np.sqrt(rows)).tolist(),
        "swing": float(np.ptp(found.average)),
        "turns": turns(found.average),
    }


def turns(curve: np.ndarray, least: float = 0.1) -> int:
    """Return how often a curve changes its direction; moves below `least` do not count."""
    count, direction, extreme = 0, 0, float(curve[0])
    for value in curve[1:].tolist():
        move = value - extreme
        if direction * move > 0 or (direction == 0 and abs(move) >= least):
            direction, extreme = (1 if move > 0 else -1), value
        elif abs(move) >= least:
            count, direction, extreme = count + 1, -direction, value
    return count


def _halves_gap(individual: np.ndarray) -> float:
    # Every other row: rows are sorted, so both halves have rows of each run.
    one, other = individual[::2].mean(axis=0), individual[1::2].mean(axis=0)
    return float(np.abs(one - other).max())


def _interaction(individual: np.ndarray) -> float:
    """Return how much the rows' curves differ in shape: mean spread once each is centred."""
    centred = individual - individual.mean(axis=1, keepdims=True)
    return float(centred.std(axis=0).mean())


def _dependence(
    model: _AsRegressor, rows: np.ndarray, feature: int, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.inspection import partial_dependence

    found = partial_dependence(
        model, rows, [feature], kind="both", method="brute", custom_values={feature: grid}
    )
    return found["average"][0], found["individual"][0]


class _AsRegressor(RegressorMixin, BaseEstimator):
    """A function as the fitted regressor that scikit-learn's inspection asks for."""

    def __init__(self, function: Predict) -> None:
        self.function = function

    def fit(self, *_data: object) -> _AsRegressor:
        """Return self: there is nothing to fit."""
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the function's values."""
        return self.function(np.asarray(X, dtype=np.float64))

    def __sklearn_is_fitted__(self) -> bool:
        return True
