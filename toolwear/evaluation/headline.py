"""The first screen of a run: verdict, use, and a figure with its interval for each question.

The page and the terminal show the same one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolwear.common import words
from toolwear.dataset import schema
from toolwear.evaluation.names import model_name

_ASKED = {
    schema.KNOWN_RUNS: "Rows of recordings it was trained on",
    schema.NEW_RUN: "New recording",
    schema.NEW_SETTING: "New combination of settings",
}
# The model whose figure answers a question best, the first that was judged on all there is.
_BEST = {
    schema.KNOWN_RUNS: (schema.AUTO_SKLEARN, schema.RANDOM_FOREST, schema.DECISION_TREE),
    schema.NEW_RUN: (schema.NESTED, schema.AUTO_SKLEARN, schema.RANDOM_FOREST),
    schema.NEW_SETTING: (schema.NESTED, schema.AUTO_SKLEARN, schema.RANDOM_FOREST),
}
_TONES = {"promote": "good", "keep": "even"}
_MODELS = {schema.NESTED: "model chosen within each fold"}


@dataclass(frozen=True)
class Figure:
    """The answer to one question.

    Attributes:
        question: in words.
        model: whose figure it is; empty if the question was not answered.
        right: units judged right.
        of: units judged.
        unit: "rows" or "runs".
        share: right / of, 0 to 1; None if the question was not answered.
        interval: 95 %, low and high, 0 to 1; None where there is none.
        baseline: share that the best of what needs no telemetry gets right: the commoner label,
            the settings, the elapsed time.
        why_not: why the question was not answered; empty if it was.
    """

    question: str
    model: str = ""
    right: int = 0
    of: int = 0
    unit: str = "runs"
    share: float | None = None
    interval: tuple[float, float] | None = None
    baseline: float | None = None
    why_not: str = ""

    @property
    def told(self) -> str:
        """The figure in words, such as "9 of 17 runs (53 %, 95 % interval 31 % to 74 %)"."""
        if self.share is None:
            return f"not answered: {self.why_not}"
        return f"{self.counted} ({self.percent}, {self.bounds})"

    @property
    def counted(self) -> str:
        """Units right of units judged."""
        return f"{self.right:,} of {self.of:,} {self.unit}"

    @property
    def percent(self) -> str:
        """The share, with no more digits than the units carry."""
        return "" if self.share is None else _percent(self.share, self.of)

    @property
    def bounds(self) -> str:
        """The interval in words."""
        if self.interval is None:
            return "no interval"
        low, high = (_percent(bound, self.of) for bound in self.interval)
        return f"95 % interval {low} to {high}"


@dataclass(frozen=True)
class Headline:
    """The first screen.

    Attributes:
        verdict: what the gate decided.
        tone: "good" if it accepted the model, "bad" if it rejected it, else "even".
        version: of the model, and what was done with it.
        use: what the model is approved for.
        warning: what it must not be relied on for; empty if nothing is excluded.
        figures: one for each question.
    """

    verdict: str
    tone: str
    version: str
    use: str
    warning: str
    figures: tuple[Figure, ...]


def headline(summary: Mapping[str, Any]) -> Headline:
    """Return the first screen of a summary, as `summary.json` holds it."""
    gate, model = summary["gate"], summary["model"]
    return Headline(
        verdict=words.decision(gate["decision"]),
        tone=_TONES.get(gate["decision"].partition("_")[0], "bad"),
        version=f"Version {model['version']} {words.outcome(gate['outcome'])}",
        use=f"Approved for {words.use(gate['use'])}",
        warning=words.warning(gate["use"]),
        figures=tuple(_figure(summary, question) for question in schema.PROTOCOLS),
    )


def _figure(summary: Mapping[str, Any], question: str) -> Figure:
    asked = _ASKED[question]
    models = summary["protocols"].get(question) or {}
    there = [name for name in _BEST[question] if name in models]
    name = next((name for name in there if _whole(models[name])), there[0] if there else None)
    accuracy = models[name]["accuracy"] if name else None
    if name is None or accuracy is None:
        reasons = summary.get("left_out") or {}
        return Figure(asked, why_not=str(reasons.get(question, "no model was judged on it")))
    figures = models[name]
    units = (figures.get("runs") or {}) if figures["unit"] == "runs" else {}
    right, of = units.get("correct"), units.get("of", figures["n"])
    without = (schema.MAJORITY, schema.SETTINGS_ONLY, schema.CONTEXT)
    known = [models[name]["accuracy"] for name in without if name in models]
    bounds = units.get("wilson") or (figures.get("interval") or {}).get("accuracy")
    return Figure(
        question=asked,
        model=_MODELS.get(name, model_name(name)),
        right=round(accuracy * of) if right is None else right,
        of=of,
        unit=figures["unit"],
        share=accuracy,
        interval=None if bounds is None else (bounds[0], bounds[1]),
        baseline=max((share for share in known if share is not None), default=None),
    )


def _whole(figures: Mapping[str, Any]) -> bool:
    """Return whether a model was judged on all runs that were asked."""
    runs = figures.get("runs") or {}
    return runs.get("of") == runs.get("there_are")


def _percent(share: float, units: int) -> str:
    # As many digits as tell all right from all right but one.
    return f"{share:.{max(0, math.ceil(math.log10(units)) - 2)}%}"
