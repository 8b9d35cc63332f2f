"""What the rule for "not sure" reaches, in plain sentences: on known rows and on unseen runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.evaluate.band import LEFT_OUT
from toolwear.dataset import schema


def sentences(content: Mapping[str, Any]) -> list[str]:
    """Return what is to be said wherever the rule is shown.

    Args:
        content: of `abstention.json`: `band`, `test` and `unseen`.
    """
    return [known(content["band"], content["test"]), unseen(content["unseen"])]


def known(band: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    """Return what the band reaches on the rows that it was chosen on, and on the test rows."""
    if not band["n"]:
        return (
            'No row of the known runs was left to choose the band of "not sure" on, so what it '
            "reaches is not known."
        )
    verdict = "which reaches" if band["reached"] else "which misses"
    rows = LEFT_OUT if band["source"] == LEFT_OUT else "rows of known runs"
    sentence = (
        f'The band of "not sure" ({band["low"]:g} to {band["high"]:g}) was chosen on {band["n"]:,} '
        f"{rows}. The lower bound of the accuracy of its answers there is "
        f"{band['lower_bound']:.2%} (95 %, one-sided), {verdict} the target of "
        f"{band['target']:.2%}."
    )
    if not test["answered"]:
        return sentence + " It answers none of the held-back rows."
    low, high = test["interval"]
    return sentence + (
        f" Of {test['n']:,} held-back rows of known runs, the rule answers {test['coverage']:.1%} "
        f"and is right in {test['accuracy']:.2%} of these (95 % interval {low:.2%} to {high:.2%})."
    )


def unseen(found: Mapping[str, Any]) -> str:
    """Return what the rule does on runs left out, with the runs that it answers mostly wrong."""
    if not found["runs"]:
        return (
            'What "not sure" does on a run that was left out is not known: one class would be '
            "left to learn from."
        )
    runs = f"{found['runs']} runs left out one at a time"
    if found["runs"] < found["there_are"]:
        runs = f"{found['runs']} of {found['there_are']} runs, left out one at a time"
    who = f" ({found['stand_in']} in the place of the search)" if found["stand_in"] else ""
    start = f'On {runs}{who}, "not sure" '
    if not found["answered"]:
        return start + "answers no row."
    low, high = found["interval"]
    sentence = start + (
        f"{_verdict(found)}: {found['coverage']:.1%} of {found['n']:,} rows are answered, and "
        f"{found['accuracy']:.1%} of the answers are right (95 % interval over runs {low:.1%} to "
        f"{high:.1%}; target {found['target']:.1%}; without the rule "
        f"{found['accuracy_of_all']:.1%})."
    )
    wrong = [item for item in found["per_run"] if item["answered"] and item["accuracy"] < 0.5]
    if wrong:
        sentence += f" Mostly wrong where it answers: {'; '.join(map(_run, wrong))}."
    return sentence


def _verdict(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    if high < found["target"]:
        return "does not protect"
    return "keeps its target" if low >= found["target"] else "may or may not keep its target"


def _run(item: Mapping[str, Any]) -> str:
    return (
        f"run {item[schema.RUN_ID]} ({item['coverage']:.0%} answered, {item['accuracy']:.0%} of "
        f"these right, mean confidence {item['mean_confidence']:.3f})"
    )
