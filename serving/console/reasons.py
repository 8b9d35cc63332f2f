"""Why a recording is judged as it is: the row that tells most, and its signals in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving.console.look import Look, judged_rows, verdict_of
from serving.console.pages.base import Console
from serving.console.parts import ServedModel
from serving.console.signals import in_words
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.explain.methods.subject import Envelope
from toolwear.model.abstention import NOT_SURE
from toolwear.release import champion as pointer

_EVEN = 0.5
_USUAL = (0.25, 0.75)  # share of unworn rows below a value that is nothing special
_TOLD = 3  # signals


@dataclass(frozen=True)
class Place:
    """The row of a recording that tells most of its verdict.

    Attributes:
        row: in time.
        seconds: since the start.
        what: why this one, to follow "the row that".
        doubt: why the model is not sure there, "" if it is.
    """

    row: int
    seconds: float
    what: str
    doubt: str


def telling(seen: Look, *, typical: bool = False) -> Place:
    """Return the row to explain: what looks most worn, or is most doubtful if the verdict is.

    Args:
        seen: what the served model says.
        typical: rather one that speaks for the verdict, so of an unworn tool the least worn one.
    """
    known = np.isfinite(seen.worn)
    judged = known & judged_rows(seen.recording)
    unsure = judged & (seen.answers == NOT_SURE)
    verdict = verdict_of(seen)
    doubtful = verdict == NOT_SURE and unsure.any()
    least = typical and verdict == schema.UNWORN
    rows = np.flatnonzero(unsure if doubtful else judged if judged.any() else known)
    worn = seen.worn[rows]
    if doubtful:
        row, what = int(rows[np.argmin(np.abs(worn - _EVEN))]), "is most doubtful"
    elif least:
        row, what = int(rows[np.argmin(worn)]), "looks least worn"
    else:
        row, what = int(rows[np.argmax(worn)]), "looks most worn"
    return Place(
        row,
        float(seen.recording.seconds[row]),
        what,
        seen.reasons[row] if seen.answers[row] == NOT_SURE else "",
    )


def sentences(console: Console, served: ServedModel, shap: Envelope) -> list[str]:
    """Return the three signals that decided a row, a sentence each.

    Args:
        console: whose champion's training rows say what is usual.
        served: the model that was asked.
        shap: of the row.
    """
    row, names = shap["data"]["rows"][0], shap["meta"]["features"]
    order = sorted(range(len(names)), key=lambda j: -abs(row["values"][j]))[:_TOLD]
    usual = _of_unworn(console, served, names)
    found = []
    for j in order:
        compared = _compared(row["features"][j], None if usual is None else usual[:, j])
        side = "a worn tool" if row["values"][j] > 0 else "an unworn tool"
        name = in_words(served.spec.dataset, names[j])
        found.append(f"{name[0].upper()}{name[1:]}{compared} speaks for {side}.")
    return found


def _of_unworn(console: Console, served: ServedModel, names: Sequence[str]) -> np.ndarray | None:
    """Return the unworn training rows (rows, features), None if they are of another model."""
    try:
        champion, package = pointer.read_package(console.home.root)
    except ToolwearError:
        return None
    if champion.package_digest != served.digest or tuple(names) != tuple(package.features):
        return None
    reference = package.reference()
    rows: np.ndarray = reference["X"][reference["y"] == 0]
    return rows if len(rows) else None


def _compared(value: float, usual: np.ndarray | None) -> str:
    if usual is None:
        return ""
    # Ties count half, so that a value that all of them have is in the middle.
    below = float((usual < value).mean() + (usual == value).mean() / 2)
    if below > _USUAL[1]:
        return ", higher than usual with unworn tools,"
    if below < _USUAL[0]:
        return ", lower than usual with unworn tools,"
    return ", not unusual by itself,"
