"""What the audit's measurements mean: sentences, and a verdict for each protocol and feature set.

Every function takes the audit as it stands in `audit.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from toolwear.dataset import schema
from toolwear.evaluation.audit.design import sentence as design_sentence

_NAMED = 8  # columns in one sentence
CLEAN, RESTRICTED = "clean", "restricted"
Audit = Mapping[str, Any]


def check_feature_set(columns: Iterable[str], audit: Audit) -> list[str]:
    """Return why a model on these columns may claim nothing about new runs; empty if it may.

    Args:
        columns: names of the features.
        audit: content of `audit.json`.
    """
    if not audit["columns"]:
        return ["No column was judged alone, which takes two runs of each class."]
    known = {item["column"]: item for item in audit["columns"]}
    reasons = []
    for column in columns:
        if column not in known:
            reasons.append(f"{column} has not been audited.")
        elif known[column]["leak"]:
            reasons.append(
                f"It holds {column}, which alone tells the label of {_runs(known[column])} unseen "
                f"runs (run AUC {known[column]['run_auc']:.2f})."
            )
    return reasons


def _runs(item: Mapping[str, Any]) -> str:
    return f"{item['runs_right']} of {item['runs']}"


def verdicts(
    feature_sets: Mapping[str, Iterable[str]],
    left_out: Mapping[tuple[str, str], str],
    audit: Audit,
    copied_row_share: float,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return for each protocol and feature set `passed`, `reasons` against it and `caveats`.

    A question that cannot be asked of a feature set (`left_out` has the reason by protocol and
    set) is not passed.
    """
    copies = [
        f"Runs {item['run']} and {item['other']} share {item['share']:.0%} of their cutting rows."
        for item in audit["copied_rows"]
        if item["share"] > copied_row_share
    ]
    confounded = design_sentence(audit["design"])
    design = [confounded] if confounded else []
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for protocol in schema.PROTOCOLS:
        result[protocol] = {}
        for name, columns in feature_sets.items():
            if (protocol, name) in left_out:
                reasons = [left_out[protocol, name]]
                result[protocol][name] = {"passed": False, "reasons": reasons, "caveats": []}
                continue
            held = list(columns)
            known = protocol == schema.KNOWN_RUNS
            reasons = [] if known else check_feature_set(held, audit) + copies + design
            result[protocol][name] = {
                "passed": not reasons,
                "reasons": reasons,
                "caveats": _memory(name, audit) if known else _identity(name, held, audit),
            }
    return result


def _memory(name: str, audit: Audit) -> list[str]:
    near = audit["neighbours"]["by_set"][name]
    if not near["test_rows"]:
        return ["No sample of this set is in the test half of the rows."]
    memory = (
        "It measures how well known runs are remembered, not how well a new run is judged: "
        f"{near['adjacent_share']:.1%} of the {near['test_rows']:,} test samples have a training "
        f"sample directly before or after them, {near['twin_share']:.1%} an exact twin."
    )
    return [memory, *_identified(name, audit)]


def _identity(name: str, columns: list[str], audit: Audit) -> list[str]:
    marks = [
        item["column"] for item in audit["session_fingerprint"] if item["column"] in set(columns)
    ]
    caveats = [f"It holds {', '.join(marks)}, which tell when a run was recorded."] if marks else []
    return caveats + _identified(name, audit)


def _identified(name: str, audit: Audit) -> list[str]:
    found = audit["run_identification"][name]
    if found["accuracy"] is None:
        return []
    sentence = (
        f"Its features name the run of a row in {found['accuracy']:.1%} of {found['rows']:,} rows "
        f"({found['runs']} runs; {found['chance']:.1%} by naming the longest)."
    )
    return [sentence]


def findings(audit: Audit, layer_agreement: float, copied_row_share: float) -> list[str]:
    """Return one sentence for each trap that is in the data; none is good news.

    Args:
        audit: the measurements.
        layer_agreement: share of layer rows whose phase has to fit their depth.
        copied_row_share: share of a run's cutting rows that another run may hold.
    """
    confounded = design_sentence(audit["design"])
    return [
        *_leaks(audit),
        *([confounded] if confounded else []),
        *_session(audit),
        *_order(audit),
        *_phase(audit, layer_agreement),
        *(
            f"Runs {item['run']} and {item['other']} share {item['share']:.0%} of their cutting "
            "rows: one is a copy of the other, so they are not two runs."
            for item in audit["copied_rows"]
            if item["share"] > copied_row_share
        ),
    ]


def _leaks(audit: Audit) -> list[str]:
    leaks = [item for item in audit["columns"] if item["leak"]]
    if not leaks:
        return []
    each = ", ".join(f"{item['column']} ({_runs(item)} runs)" for item in leaks)
    chance = max(item["p_family"] for item in leaks)
    sentence = (
        f"A single column tells worn from unworn in runs that it has not seen: {each}. With "
        f"shuffled labels the luckiest of all columns does as well with probability {chance:.2g}. "
        "So clear a sign points to how the machine was set up rather than to wear: a model that "
        "reads it may claim nothing about new runs or new settings."
    )
    return [sentence]


def _session(audit: Audit) -> list[str]:
    marks = [item for item in audit["session_fingerprint"] if item["moves_with"] is None]
    if not marks:
        return []
    largest = sorted(marks, key=lambda item: -item["effect_sd"])[:_NAMED]
    each = ", ".join(
        f"{item['column']} (by up to {item['effect_sd']:.1f}{_at(item)})" for item in largest
    )
    if len(marks) > _NAMED:
        each += f" and {len(marks) - _NAMED} more"
    sentence = (
        "Runs of one and the same setting differ in level by several row standard deviations, in "
        f"no fixed direction for worn tools: {each}. Such a column tells when a run was recorded, "
        "not how worn the tool was."
    )
    follow = [i["column"] for i in audit["session_fingerprint"] if i["moves_with"] is not None]
    if follow:
        sentence += (
            f" {', '.join(follow)} rises and falls with {marks[0]['column']} from run to run: the "
            "same mark under more noise."
        )
    return [sentence]


def _at(item: Mapping[str, Any]) -> str:
    """Return the settings in which a column differs, if anything is set."""
    settings = [name for name in item["settings"] if name != schema.NO_SETTING]
    return f", settings {' '.join(settings)}" if settings else ""


def _order(audit: Audit) -> list[str]:
    order = audit["order"]
    shuffled = order["shuffled_runs"]
    if not shuffled:
        return []
    runs = order["run"]
    shares = [runs[run]["share"] for run in shuffled]
    length = order["batch_rows"]
    batches = f", about every {length:.0f} rows" if length else ""
    sentence = (
        f"The rows of {len(shuffled)} of {len(runs)} runs are not stored in the order of time: in "
        f"{min(shares):.0%} to {max(shares):.0%} of the steps{batches}, an axis or the spindle "
        "stands where it cannot have moved to."
    )
    intact = [run for run in runs if run not in set(shuffled)]
    if intact:
        sentence += f" In order: {', '.join(intact)}."
    if order["restored"]:
        left = [run for run in runs if runs[run]["restored_share"] > order["threshold"]]
        sentence += (
            f" After the order was restored, {len(left)} of {len(runs)} runs are still beyond "
            f"{order['threshold']:.0%}" + (f" ({', '.join(left)})." if left else ".")
        )
    return [sentence]


def _phase(audit: Audit, minimum: float) -> list[str]:
    layered = {
        run: item["agreement"]
        for run, item in audit["phases"].items()
        if len(item["layers"]) > 1 and item["agreement"] is not None
    }
    low = {run: share for run, share in layered.items() if share < minimum}
    if not low:
        return []
    sentence = (
        f"In {len(low)} of {len(layered)} runs with several layers {audit['phase_column']} does "
        f"not fit the depth of the tool: {min(low.values()):.0%} to {max(low.values()):.0%} of the "
        f"rows that cut in a layer phase are at that layer's depth ({minimum:.0%} expected). The "
        "phase is no guide to what the machine was doing."
    )
    return [sentence]


def statements(audit: Audit) -> list[str]:
    """Return what is always worth knowing about the splits, trap or not."""
    near, alone = audit["neighbours"], audit["settings_only"]
    rows = (
        f"Rows split at random: {near['train_rows']:,} training and {near['test_rows']:,} test "
        f"rows; {near['adjacent_share']:.1%} of the test rows have a direct neighbour in training, "
        f"{near['twin_share']:.1%} an exact twin."
    )
    lines = [rows]
    for protocol, says in (
        (schema.NEW_RUN, "one run left out"),
        (schema.NEW_SETTING, "one setting left out"),
    ):
        if protocol not in alone:
            continue
        found = alone[protocol]
        low, high = found["interval"]
        lines.append(
            f"The settings alone, {says}: {found['correct']} of {found['of']} runs "
            f"right (95 % interval {low:.0%} to {high:.0%}); the commoner label: "
            f"{found[schema.MAJORITY]['correct']} of {found['of']}."
        )
    return lines
