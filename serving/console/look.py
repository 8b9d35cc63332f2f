"""What the served model says along a recording, and how a page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from serving.console import svg
from serving.console.pages.base import Console
from serving.console.parts import ServedModel
from serving.console.recordings import Recording
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.model.abstention import NOT_SURE
from toolwear.scoring.logic import majority

_MOST_STRETCHES = 12


@dataclass(frozen=True, eq=False)
class Look:
    """What the served model says along a recording.

    Attributes:
        recording: the recording.
        served: the model.
        answers: one of ANSWERS for each row; "not sure" where the model has no features.
        worn: P(worn), NaN where it has none.
        reasons: why not sure.
        features: of the model, float64 (rows, features); NaN where a row has none.
    """

    recording: Recording
    served: ServedModel
    answers: np.ndarray
    worn: np.ndarray
    reasons: list[str]
    features: np.ndarray


def look(console: Console, recording: Recording) -> Look:
    """Ask the served model about every row of a recording that has features."""
    served = console.parts.served()
    features = recording.features(served)
    complete = np.isfinite(features).all(axis=1)
    if not complete.any():
        raise ToolwearError(
            f"No row ends a window of {served.spec.window} cutting rows, which the model needs; "
            "send a longer part of the run."
        )
    answers = np.full(len(features), NOT_SURE, dtype="<U16")
    worn = np.full(len(features), np.nan)
    reasons = ["This row ends no full window of cutting rows."] * len(features)
    found = console.parts.verdicts(served, features[complete])
    places = np.flatnonzero(complete)
    answers[places], worn[places] = found.answers, found.worn
    for place, reason in zip(places, found.reasons, strict=True):
        reasons[place] = reason
    return Look(recording, served, answers, worn, reasons, features)


def judged_rows(recording: Recording) -> np.ndarray:
    """Return which rows make the verdict, bool (rows,): those of the layers, else all."""
    judged = recording.judged
    return judged if judged.any() else np.ones(len(judged), dtype=bool)


def shares_of(seen: Look, last: int | None = None) -> dict[str, float]:
    """Return the share of the judged rows that each answer has, of the last ones or of all."""
    said = seen.answers[judged_rows(seen.recording)]
    said = said if last is None else said[-last:]
    return {answer: float((said == answer).mean()) for answer in (*_ORDER, NOT_SURE)}


def verdict_of(seen: Look) -> str:
    """Return the verdict, as `toolwear.scoring.logic.Score` has it."""
    return majority(shares_of(seen, seen.recording.dataset.verdict_rows), NOT_SURE)


def result(seen: Look, run_id: str | None) -> dict[str, Any]:
    """Return what the template shows of a look."""
    recording, seconds = seen.recording, seen.recording.seconds
    return {
        "name": recording.name if run_id is None else recording.name.capitalize(),
        "settings": recording.settings,
        "warnings": recording.warnings,
        "run_id": run_id,
        "condition": recording.condition,
        "restored": recording.restored,
        "rows": len(seconds),
        "judged": int(judged_rows(recording).sum()),
        "only_layers": bool(recording.judged.any()),
        "verdict": verdict_of(seen),
        "shares": shares_of(seen),
        "served": seen.served,
        "strip": svg.verdicts(seconds, seen.answers, f"Verdicts along {recording.name}"),
        "probability": _probability(seen, seconds),
        "signals": [_signal(recording, seconds, name) for name in recording.dataset.shown],
        "stretches": _stretches(seen),
        "more_stretches": max(0, len(svg.stretches(seen.answers)) - _MOST_STRETCHES),
    }


_ORDER = (schema.WORN, schema.UNWORN)


def _probability(seen: Look, seconds: np.ndarray) -> Markup:
    box = svg.Box(
        f"Probability of wear along {seen.recording.name}",
        "seconds since the start",
        "P(worn)",
        height=150,
        y_range=(0.0, 1.0),
    )
    return svg.lines(box, [svg.Line("P(worn)", seconds, seen.worn)], [(0.5, "even")])


def _signal(recording: Recording, seconds: np.ndarray, column: str) -> dict[str, Any]:
    about = recording.dataset.signals[column]
    name, unit = about.title or column, about.unit
    values = recording.frame[column].to_numpy(dtype=np.float64)
    box = svg.Box(f"{name} along {recording.name}", "seconds", unit, 460, 130)
    return {
        "name": name,
        "column": column,
        "plot": svg.lines(box, [svg.Line(name, seconds, values, "c1")]),
        "unit": unit,
        "low": float(values.min()),
        "mean": float(values.mean()),
        "high": float(values.max()),
    }


def _stretches(seen: Look) -> list[dict[str, Any]]:
    """Return the longest stretches of one answer, in the order of time."""
    all_of_them = svg.stretches(seen.answers)
    longest = sorted(all_of_them, key=lambda s: s[1] - s[2])[:_MOST_STRETCHES]
    found = []
    for answer, first, last in sorted(longest, key=lambda s: s[1]):
        middle = (first + last) // 2
        known = np.isfinite(seen.worn[first : last + 1])
        found.append(
            {
                "answer": answer,
                "from": first * seen.recording.dataset.recordings.sample_period_seconds,
                "to": (last + 1) * seen.recording.dataset.recordings.sample_period_seconds,
                "row": middle,
                "worn": float(seen.worn[first : last + 1][known].mean()) if known.any() else None,
                "reason": seen.reasons[middle],
            }
        )
    return found
