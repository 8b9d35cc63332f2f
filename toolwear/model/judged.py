"""What a model answers: worn, unworn, or not sure and why. The service and MLflow share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolwear.model.abstention import ANSWERS, NOT_SURE, Abstention

_UNSURE = ANSWERS.index(NOT_SURE)
_BAND = "The probability of wear is "


@dataclass(frozen=True)
class Judged:
    """The answers to rows.

    Attributes:
        codes: index into ANSWERS, int (rows,).
        reasons: a sentence for each row that is "not sure", by its index.
        strange: which rows hold a value that the model does not know, bool (rows,).
        band: which probabilities are too close to call, bool (rows,).
    """

    codes: np.ndarray
    reasons: dict[int, str]
    strange: np.ndarray
    band: np.ndarray


def told(answers: Sequence[str], reasons: Sequence[str]) -> Judged:
    """Return answers as a server tells them: of ANSWERS each, with the reason or an empty text."""
    said = {row: reason for row, reason in enumerate(reasons) if reason}
    band = np.array([reason.startswith(_BAND) for reason in reasons], dtype=bool)
    codes = np.array([ANSWERS.index(answer) for answer in answers], dtype=int)
    return Judged(codes, said, (codes == _UNSURE) & ~band, band)


def judged(
    rule: Abstention, features: Sequence[str], rows: np.ndarray, probabilities: np.ndarray
) -> Judged:
    """Return the answers.

    Args:
        rule: when the model is not sure.
        features: names of the columns.
        rows: float64 (rows, features), finite.
        probabilities: the model's, float64 (rows, classes), finite.
    """
    worn = probabilities[:, 1]
    outside = rule.outside(rows)
    strange: np.ndarray = np.logical_or.reduce(outside, axis=1)
    band = rule.in_band(worn)
    codes = np.where(strange | band, _UNSURE, probabilities.argmax(axis=1))
    reasons = {
        int(row): _reason(rule, features, rows[row], outside[row], worn[row])
        for row in np.flatnonzero(codes == _UNSURE)
    }
    return Judged(codes, reasons, strange, band)


def _reason(
    rule: Abstention, features: Sequence[str], row: np.ndarray, outside: np.ndarray, worn: float
) -> str:
    if outside.any():
        column = int(outside.argmax())
        low, high = rule.minimum[column], rule.maximum[column]
        return (
            f"{features[column]} is {row[column]:g}; "
            f"the model knows values from {low:g} to {high:g}."
        )
    return (
        f"{_BAND}{worn:.3f}, and from {rule.low:g} to {rule.high:g} the model is too often wrong."
    )
