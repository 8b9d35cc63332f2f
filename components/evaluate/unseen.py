"""What "not sure" does on recordings that a model has not seen.

The rule is chosen on known runs, and so is its accuracy there. Here all of it - model, band and
envelope - is made anew without one run at a time, and then asked about that run. The search is too
long to be repeated for each, so gradient boosting, which it most often finds, stands in; unless
searches that left recordings out have learnt from the columns of the served model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from components.evaluate import band
from toolwear.dataset import schema
from toolwear.dataset.contract import NotSure
from toolwear.evaluation.metrics import LEVEL
from toolwear.evaluation.protocols import recordings
from toolwear.model.abstention import Abstention

STAND_IN = "gradient boosting with scikit-learn's defaults"
_MOST_RUNS = 20  # left out; with more recordings, evenly spaced ones
_REPLICATES = 2000


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows with their labels and recordings.

    Attributes:
        X: float64 (n, features).
        y: labels (n,).
        run: the run of each row, str (n,).
    """

    X: np.ndarray
    y: np.ndarray
    run: np.ndarray

    def take(self, kept: np.ndarray) -> Rows:
        """Return the rows at these positions, or under this mask."""
        return Rows(self.X[kept], self.y[kept], self.run[kept])


def on_unseen_runs(
    rows: Rows,
    train: np.ndarray,
    calibration: Rows,
    columns: Sequence[str],
    limits: NotSure,
    seed: int,
) -> dict[str, Any]:
    """Return how much the rule answers on runs left out, and how often it is right.

    Args:
        rows: all rows of the known runs that the split divides.
        train: positions of the training rows among them.
        calibration: rows in neither half of the split.
        columns: names of the features.
        limits: of the rule, by the contract.
        seed: of the fits and of the interval.

    Returns:
        `stand_in` (empty if the search itself answers), `target`, `runs` (left out), `there_are`,
        `n` (rows), `coverage`, `accuracy` (of the answers), `interval` (of it, drawing runs),
        `accuracy_of_all` (without the rule) and `per_run`, each with `coverage`, `accuracy`,
        `mean_confidence` (of the answers) and whether its band `reached` the target on the runs
        it was chosen on. Shares of nothing are None.
    """
    names = np.unique(recordings(rows.run))
    kept = names[:: -(-len(names) // _MOST_RUNS)]
    per_run = [
        found
        for run in kept.tolist()
        if (found := _left_out(run, rows, train, calibration, columns, limits, seed)) is not None
    ]
    return _summary(STAND_IN, per_run, len(names), limits, seed)


def on_searched_runs(
    rows: Rows, worn: np.ndarray, columns: Sequence[str], limits: NotSure, seed: int
) -> dict[str, Any]:
    """Return the same from the answers of searches that each left recordings out.

    Band and envelope are chosen without the recording that is asked about.

    Args:
        rows: all rows of recordings that were left out of a search.
        worn: P(worn) of each by the search that left it out, (n,).
        columns: names of the features.
        limits: of the rule, by the contract.
        seed: of the interval.
    """
    recording = recordings(rows.run)
    names = np.unique(recording)
    per_run = []
    for run in names.tolist():
        here, others = recording == run, recording != run
        if len(np.unique(rows.y[others])) < 2:
            continue
        chosen = band.choose_band(
            rows.y[others], worn[others], limits.target_accuracy, band.LEFT_OUT
        )
        bounds = band.envelope(rows.X[others], columns, limits.envelope_quantile)
        rule = Abstention.of(columns, chosen, bounds)
        per_run.append(_asked(run, rows.take(here), worn[here], rule, reached=chosen["reached"]))
    return _summary("", per_run, len(names), limits, seed)


def _summary(
    stand_in: str, per_run: list[dict[str, Any]], there_are: int, limits: NotSure, seed: int
) -> dict[str, Any]:
    counts = np.array([[item["n"], item["answered"], item["right"]] for item in per_run])
    n, answered, right = counts.reshape(-1, 3).sum(axis=0).tolist()
    return {
        "stand_in": stand_in,
        "target": limits.target_accuracy,
        "runs": len(per_run),
        "there_are": there_are,
        "n": n,
        "answered": answered,
        "coverage": answered / n if n else None,
        "accuracy": right / answered if answered else None,
        "interval": _interval(counts, seed) if answered else None,
        "level": LEVEL,
        "accuracy_of_all": sum(item["right_of_all"] for item in per_run) / n if n else None,
        "per_run": per_run,
    }


def _left_out(
    run: str,
    rows: Rows,
    train: np.ndarray,
    calibration: Rows,
    columns: Sequence[str],
    limits: NotSure,
    seed: int,
) -> dict[str, Any] | None:
    """Return what the rule made without a run does on it, None if one class is left to learn."""
    known = rows.take(train[recordings(rows.run)[train] != run])
    if len(np.unique(known.y)) < 2:
        return None
    asked = rows.take(np.flatnonzero(recordings(rows.run) == run))
    others = calibration.take(np.flatnonzero(recordings(calibration.run) != run))
    model = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
    with threadpool_limits(1):  # small fits: more threads wait for each other on a busy machine
        model.fit(known.X, known.y)
        bounds = band.envelope(known.X, columns, limits.envelope_quantile)
        inside = ~Abstention.of(columns, None, bounds).outside(others.X).any(axis=1)
        others = others.take(np.flatnonzero(inside))
        worn_others = _worn(model, others.X)
        worn = _worn(model, asked.X)
    chosen = band.choose_band(others.y, worn_others, limits.target_accuracy)
    rule = Abstention.of(columns, chosen, bounds)
    return _asked(run, asked, worn, rule, reached=chosen["reached"])


def _asked(
    run: str, asked: Rows, worn: np.ndarray, rule: Abstention, *, reached: bool
) -> dict[str, Any]:
    answered = ~(rule.in_band(worn) | rule.outside(asked.X).any(axis=1))
    correct = (worn > 0.5) == (asked.y == 1)
    count, right = int(answered.sum()), int((correct & answered).sum())
    return {
        schema.RUN_ID: run,
        "label": " and ".join(schema.CLASSES[number] for number in np.unique(asked.y)),
        "n": len(asked.y),
        "answered": count,
        "right": right,
        "right_of_all": int(correct.sum()),
        "coverage": count / len(asked.y),
        "accuracy": right / count if count else None,
        "mean_confidence": float(np.maximum(worn, 1 - worn)[answered].mean()) if count else None,
        "reached": reached,
    }


def _worn(model: HistGradientBoostingClassifier, X: np.ndarray) -> np.ndarray:
    if not len(X):
        return np.zeros(0)
    worn: np.ndarray = model.predict_proba(X)[:, 1]
    return worn


def _interval(counts: np.ndarray, seed: int) -> list[float]:
    """Return the percentile interval of right / answered, drawing whole runs."""
    generator = np.random.default_rng(seed)
    drawn = counts[generator.integers(len(counts), size=(_REPLICATES, len(counts)))].sum(axis=1)
    shares = drawn[drawn[:, 1] > 0, 2] / drawn[drawn[:, 1] > 0, 1]
    tail = (1 - LEVEL) / 2
    return [float(end) for end in np.quantile(shares, [tail, 1 - tail])]
