"""Challenger against champion: checks that refuse, a paired comparison, and the rule on top.

The rule, for a challenger that no check refuses:

- there is no champion: it becomes champion;
- it is the champion (same graph, same answers expected): nothing changes;
- the interval of the difference lies above zero: it becomes champion;
- it was trained on other data and the interval lies above minus the margin: it becomes champion.
  Whoever retrains because there is new data expects the model that knows it to be used, unless
  it may be worse. Since each of a row of such champions may be a little worse than the one before,
  the interval of its difference from the best of them all has to lie above minus a margin, too;
- otherwise the champion stays. Equal on the same data is no reason to change what is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolwear.common.thresholds import Decision, Thresholds
from toolwear.dataset.contract import Gate
from toolwear.evaluation.metrics import LEVEL
from toolwear.model.footprint import Footprint
from toolwear.release.comparison import Comparison
from toolwear.release.decisions import KNOWN_RUNS_ONLY, NEW_RUNS, Outcome


@dataclass(frozen=True)
class Check:
    """One condition on the challenger.

    Attributes:
        name: of what was measured.
        value: what was found; None if it could not be measured.
        threshold: what it was held against.
        passed: whether it holds.
        outcome: the decision if it does not; None: the model stays, what was checked is not to be
            relied on.
        sentence: says it with numbers.
    """

    name: str
    value: float | str | None
    threshold: float | str | None
    passed: bool
    outcome: Outcome | None
    sentence: str


def at_least(name: str, value: float | None, threshold: float, outcome: Outcome | None) -> Check:
    """Return the check that `value` is not below `threshold`."""
    passed = value is not None and value >= threshold
    return _threshold_check(name, value, threshold, passed, outcome, "at least")


def at_most(name: str, value: float | None, threshold: float, outcome: Outcome) -> Check:
    """Return the check that `value` is not above `threshold`."""
    passed = value is not None and value <= threshold
    return _threshold_check(name, value, threshold, passed, outcome, "at most")


def _threshold_check(
    name: str,
    value: float | None,
    threshold: float,
    passed: bool,
    outcome: Outcome | None,
    words: str,
) -> Check:
    found = "was not measured" if value is None else f"is {value:.4g}"
    return Check(
        name, value, threshold, passed, outcome, f"{name} {found}; {words} {threshold:g} is needed."
    )


def holds(name: str, passed: bool, outcome: Outcome, fault: str) -> Check:
    """Return the check of a condition without a number; `fault` says what is wrong if not."""
    sentence = f"{name}: as it should be." if passed else f"{name}: {fault}."
    return Check(name, "yes" if passed else "no", "yes", passed, outcome, sentence)


def all_finite(figures: Mapping[str, float | None], probabilities: np.ndarray) -> Check:
    """Return the check that all figures and answers are numbers, and answers are probabilities."""
    missing = [name for name, value in figures.items() if value is None or not np.isfinite(value)]
    odd = int((~((probabilities >= 0) & (probabilities <= 1))).sum())
    faults = [f"{name} is not a number" for name in missing]
    if odd:
        faults.append(f"{odd} of {len(probabilities)} answers are not probabilities")
    return holds("Figures and answers", not faults, Outcome.REFUSE_NAN, ", ".join(faults))


def same_interface(challenger: Sequence[str], champion: Sequence[str]) -> Check:
    """Return the check that callers need not change: the same features in the same order."""
    added = [name for name in challenger if name not in set(champion)]
    removed = [name for name in champion if name not in set(challenger)]
    parts = [f"it adds {', '.join(added)}"] if added else []
    parts += [f"it leaves out {', '.join(removed)}"] if removed else []
    what = " and ".join(parts) or "it has them in another order"
    return holds(
        "Features of the champion",
        list(challenger) == list(champion),
        Outcome.REFUSE_SCHEMA_CHANGED,
        f"{what}, so callers would have to change; register it under another model_name",
    )


def enough_new_data(runs: int, rows: int, limits: Decision) -> Check:
    """Return the check that a run which new data has caused brings enough of it.

    Args:
        runs: that the champion was not trained on.
        rows: of these runs.
        limits: the thresholds.
    """
    return holds(
        "New data",
        runs >= limits.new_data_runs and rows >= limits.new_data_rows,
        Outcome.KEEP_NOT_ENOUGH_NEW_DATA,
        f"{rows:,} rows of {runs} runs that the champion was not trained on, and at least "
        f"{limits.new_data_rows:,} rows of {limits.new_data_runs} are needed",
    )


def servable(footprint: Footprint, limits: Thresholds) -> list[Check]:
    """Return the checks that every server's pod can hold the model, and that it answers in time.

    Args:
        footprint: of the challenger.
        limits: the thresholds, with what the pods may use.
    """
    serving = limits.serving
    return [
        *(
            at_most(
                f"Memory of the {name} with this model, MiB",
                round(server.without_model_mib + footprint.memory_mib, 1),
                round(server.limit_mib * serving.memory_share, 1),
                Outcome.REFUSE_TOO_LARGE,
            )
            for name, server in serving.servers.items()
        ),
        at_most(
            "Milliseconds for one row",
            footprint.milliseconds_per_row,
            limits.decision.predict_milliseconds_per_row,
            Outcome.REFUSE_SLOW,
        ),
    ]


def choose(
    checks: Sequence[Check],
    comparison: Comparison | None,
    limits: Decision,
    *,
    same_model: bool,
    new_data: bool,
    best: Comparison | None = None,
) -> tuple[Outcome, list[str]]:
    """Return the decision and its reasons in plain sentences.

    Args:
        checks: of the challenger, the gravest first.
        comparison: None if there is no champion.
        limits: the thresholds.
        same_model: the challenger's graph is the champion's.
        new_data: it was trained on other data than the champion.
        best: with the best of the earlier champions; None if there is none to compare with.
    """
    failed = [(check.outcome, check.sentence) for check in checks if not check.passed]
    refused = [(outcome, sentence) for outcome, sentence in failed if outcome is not None]
    if refused:
        return refused[0][0], [sentence for _, sentence in refused]
    if comparison is None:
        return Outcome.PROMOTE_FIRST, ["All checks passed, and there is no champion yet."]
    told = _told(comparison)
    low, high = comparison.interval
    margin = limits.non_inferiority_margin
    if same_model:
        return Outcome.KEEP_SAME, ["The challenger is the champion: the same graph, byte by byte."]
    if low > 0:
        return Outcome.PROMOTE_BETTER, [told, "The whole interval is above zero."]
    if new_data and low >= -margin:
        if best is not None and best.interval[0] < -limits.best_champion_margin:
            bound = f"It may be worse by more than {limits.best_champion_margin:g}, the most that "
            bound += "a row of such promotions may lose."
            return Outcome.KEEP_BELOW_BEST, [
                _told(best, "the best champion that there has been"),
                bound,
            ]
        return Outcome.PROMOTE_NEWER, [
            told,
            f"The challenger knows other data and is not worse by more than {margin:g}.",
        ]
    if high < 0:
        return Outcome.KEEP_WORSE, [told, "The whole interval is below zero."]
    if new_data:
        return Outcome.KEEP_TIE, [
            told,
            f"It may be worse by more than {margin:g}; other data are then no reason to change.",
        ]
    return Outcome.KEEP_TIE, [told, "On the same data a tie is no reason to change."]


def withheld(checks: Sequence[Check]) -> list[str]:
    """Return what is said of checks that failed and refuse nothing."""
    return [
        f"{check.sentence} The method is not to be relied on."
        for check in checks
        if not check.passed and check.outcome is None
    ]


def _told(comparison: Comparison, whom: str = "the champion") -> str:
    low, high = comparison.interval
    known = "that neither was trained on" if comparison.fair else f"that {whom} was trained on"
    return (
        f"On {comparison.rows:,} rows of {comparison.runs} runs {known}, the "
        f"challenger is right in {comparison.challenger:.4f} and {whom} in "
        f"{comparison.champion:.4f}: a difference of {comparison.difference:+.4f} "
        f"({LEVEL:.0%} interval over runs {low:+.4f} to {high:+.4f})."
    )


def recall(figures: Mapping[str, Any], asked: Gate) -> list[Check]:
    """Return the checks of what a model remembers of known runs."""
    return [
        at_least(
            "Accuracy on known runs",
            figures.get("accuracy"),
            asked.known_runs_accuracy,
            Outcome.REFUSE_THRESHOLD,
        ),
        at_least(
            "MCC on known runs", figures.get("mcc"), asked.known_runs_mcc, Outcome.REFUSE_THRESHOLD
        ),
    ]


@dataclass(frozen=True)
class Shown:
    """What a model shows on runs that were left out.

    Attributes:
        lower_bound: of the interval of its accuracy on them; None if that was not measured.
        context_p: of the test against what needs no telemetry; None if not tested.
        permutation_p: of the test against labels permuted over runs; None if not tested.
        permutation_asked: whether labels can be permuted over runs: not where they change within
            recordings.
        reasons_against: what the audit found of its features, and what was not asked or tested.
    """

    lower_bound: float | None
    context_p: float | None
    permutation_p: float | None
    permutation_asked: bool = True
    reasons_against: Sequence[str] = ()


def allowed_use(shown: Shown, limits: Decision) -> tuple[str, list[str]]:
    """Return what the model may be used for, and why."""
    against = list(shown.reasons_against)
    lower_bound = shown.lower_bound
    if lower_bound is None or lower_bound <= limits.new_run_accuracy_lower_bound:
        found = "was not measured" if lower_bound is None else f"may be as low as {lower_bound:.2f}"
        against.append(
            f"Its accuracy on runs that it has not seen {found}; more than "
            f"{limits.new_run_accuracy_lower_bound:g} is needed."
        )
    against += _not_significant(
        "That it judges new runs better than what needs no telemetry",
        shown.context_p,
        limits.context_p,
    )
    if shown.permutation_asked:
        against += _not_significant(
            "That it does better than chance on new runs", shown.permutation_p, limits.permutation_p
        )
    if not against:
        return NEW_RUNS, [
            "It may judge new runs: on runs left out it did better than what needs no telemetry."
        ]
    return KNOWN_RUNS_ONLY, [
        "It may be used for the known runs only, not to judge a new one.",
        *against,
    ]


def _not_significant(what: str, p: float | None, level: float) -> list[str]:
    if p is not None and p < level:
        return []
    found = "was not tested" if p is None else f"has p = {p:.2g}"
    return [f"{what} {found}; less than {level:g} is needed."]


def as_dict(value: Check | Comparison) -> dict[str, Any]:
    """Return the fields for JSON."""
    return dict(vars(value))
