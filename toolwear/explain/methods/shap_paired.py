"""SHAP within the time of an answer: few evaluations, asked of the model in one batch.

Method: Štrumbelj & Kononenko 2014 (https://doi.org/10.1007/s10115-013-0679-x): walk from a
background row to the explained one, feature by feature in random order. Each walk is paired with
the reverse order (Mitchell et al. 2022, https://jmlr.org/papers/v23/21-0439.html), and the
background rows are drawn from strata of equal size by their prediction.

On boosted trees over the published features (14 rows, 4 seeds, against 3000 walks
on 200 background rows) the summed error was 26 % of the summed values with 16 background rows
(350 evaluations a prediction), 20 % with 24 and 13 % with 40; the library's explainer had 33 %
with 500 evaluations and 18 % with 12 500.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolwear.explain.methods.shap_values import Attributions, told
from toolwear.explain.methods.subject import Envelope, Subject


@dataclass(frozen=True)
class PairedSettings:
    """Background rows that are walked from; the cost is at most twice the features for each."""

    background_rows: int = 16


DEFAULT = PairedSettings()


def explain(
    subject: Subject,
    rows: np.ndarray,
    background_worn: np.ndarray,
    settings: PairedSettings = DEFAULT,
) -> Envelope:
    """Return the envelope, with how far the base value is off in its quality.

    `base_error` is the distance from the mean prediction over all background rows;
    `standard_error` covers both the orders and the choice of background rows.

    Args:
        subject: the model and its background.
        rows: predictions to explain, (n, features).
        background_worn: P(worn) of every background row.
        settings: sizes.
    """
    found = attribute(subject, rows, background_worn, settings)
    answer = told(subject, rows, found, "numpy", settings)
    answer["quality"]["base_error"] = abs(found.base - float(background_worn.mean()))
    return answer


def attribute(
    subject: Subject,
    rows: np.ndarray,
    background_worn: np.ndarray,
    settings: PairedSettings = DEFAULT,
) -> Attributions:
    """Return the SHAP values of `rows`; a row's values do not depend on the other rows."""
    rows = subject.checked(rows)
    draw = np.random.default_rng(subject.seed)
    chosen = _stratified(background_worn, settings.background_rows, draw)
    orders = np.argsort(draw.random((len(chosen), rows.shape[1])), axis=1)
    predictions = subject.predict(rows)
    pairs = np.stack(
        [
            _gains(subject, row, prediction, chosen, background_worn[chosen], orders)
            for row, prediction in zip(rows, predictions, strict=True)
        ]
    )
    return Attributions(
        values=pairs.mean(axis=1),
        standard_error=pairs.std(axis=1, ddof=1) / np.sqrt(len(chosen)),
        base=float(background_worn[chosen].mean()),
        predictions=predictions,
    )


def over_all(subject: Subject, rows: np.ndarray) -> Attributions:
    """Return the SHAP values of `rows`, walked from every background row."""
    worn = subject.predict(subject.background)
    return attribute(subject, rows, worn, PairedSettings(len(worn)))


def _stratified(worn: np.ndarray, count: int, draw: np.random.Generator) -> np.ndarray:
    """Return the places of at least two rows, one from each of `count` strata by prediction."""
    count = max(2, min(count, len(worn)))
    edges = np.linspace(0, len(worn), count + 1)
    places = (edges[:-1] + draw.random(count) * np.diff(edges)).astype(np.int64)
    return np.argsort(worn, kind="stable")[places]


def _gains(
    subject: Subject,
    row: np.ndarray,
    prediction: float,
    chosen: np.ndarray,
    start_worn: np.ndarray,
    orders: np.ndarray,
) -> np.ndarray:
    """Return what each feature adds on the way from each background row, (pairs, features)."""
    both = np.concatenate([orders, orders[:, ::-1]])
    starts = np.tile(subject.background[chosen], (2, 1))
    rank = np.argsort(both, axis=1)
    steps = np.arange(1, len(row) + 1)
    points = np.where(rank[:, None, :] < steps[:, None], row, starts[:, None, :])
    # A step that changes nothing is not asked for, and the last that does ends at the row itself.
    moves = np.take_along_axis(starts != row, both, axis=1)
    count = moves.cumsum(axis=1)
    arrives = moves & (count == count[:, -1:])
    asked = moves & ~arrives
    worn = np.empty((len(both), len(row) + 1))
    worn[:, 0] = np.tile(start_worn, 2)
    worn[:, 1:][arrives] = prediction
    if asked.any():
        worn[:, 1:][asked] = subject.predict(points[asked])
    last_move = np.maximum.accumulate(np.where(moves, steps, 0), axis=1)
    worn[:, 1:] = np.take_along_axis(worn, last_move, axis=1)
    gains = np.take_along_axis(np.diff(worn, axis=1), rank, axis=1)
    found: np.ndarray = (gains[: len(chosen)] + gains[len(chosen) :]) / 2
    return found
