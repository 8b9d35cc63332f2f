"""The result in plain sentences, each computed from the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluate import searches
from toolwear.dataset import schema
from toolwear.evaluation.names import model_name
from toolwear.evaluation.permutation import FREE, WITHIN

Models = Mapping[str, Mapping[str, Any]]
_NOT_ASKED = {
    schema.KNOWN_RUNS: "Whether it recalls runs that it has seen",
    schema.NEW_RUN: "Whether it judges a run that it has not seen",
    schema.NEW_SETTING: "Whether it judges a combination of settings that it has not seen",
}
_UNSEEN = {
    schema.NEW_RUN: "a run that it has not seen",
    schema.NEW_SETTING: "a combination of settings that it has not seen",
}


def statements(
    protocols: Mapping[str, Models],
    further: Mapping[str, Mapping[str, Models]],
    permutation: Mapping[str, Any],
    behaviour: Mapping[str, Any],
    adjacent: float,
    level: float,
    leaks: Sequence[str],
    not_sure: Sequence[str],
    searched: Sequence[str],
    against_context: str,
    left_out: Mapping[str, str],
) -> list[str]:
    """Return the sentences, the most important first.

    Args:
        protocols: figures by protocol and model.
        further: figures by protocol, feature set and model.
        permutation: of `training.json`.
        behaviour: the checks of the graph.
        adjacent: share of the published test rows that were recorded beside a training row.
        level: what p has to be below to speak of a signal.
        leaks: what the audit holds against the row features on new settings.
        not_sure: what the rule for "not sure" reaches.
        searched: what the searches came to.
        against_context: how the search compares with what needs no telemetry; may be empty.
        left_out: by protocol, why its question was not asked.
    """
    known = protocols[schema.KNOWN_RUNS]
    said = [_known(known, adjacent), *not_sure] if known else list(not_sure)
    said += [f"{_NOT_ASKED[protocol]} was not asked: {why}" for protocol, why in left_out.items()]
    for protocol in (schema.NEW_RUN, schema.NEW_SETTING):
        said += [
            sentence
            for sentence in (
                _unseen(protocol, protocols[protocol]),
                _searched(protocol, protocols[protocol]),
                _leak(protocol, further.get(protocol, {}), leaks),
            )
            if sentence
        ]
    said += [against_context] if against_context else []
    pooled = searches.pooled(protocols[schema.NEW_RUN])
    said += [*([pooled] if pooled else []), *searched]
    said += [_chance(permutation, level), _behaviour(behaviour)]
    said += [
        figures["published"]["sentence"]
        for figures in protocols[schema.KNOWN_RUNS].values()
        if figures["published"]
    ]
    return said


def _known(models: Models, adjacent: float) -> str:
    name = schema.AUTO_SKLEARN if schema.AUTO_SKLEARN in models else schema.RANDOM_FOREST
    figures = models[name]
    low, high = figures["interval"]["accuracy"]
    return (
        f"On known runs, rows split at random, {model_name(name)} is right on "
        f"{figures['n'] - figures['errors']:,} of {figures['n']:,} held-back rows: "
        f"{figures['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}). {_memory(adjacent)}"
    )


def _memory(adjacent: float) -> str:
    share = f"Of these rows {adjacent:.1%} were recorded right beside a training row"
    if adjacent >= 0.5:
        return (
            f"{share}, so this says how well the runs are remembered, not how well a new one is "
            "judged."
        )
    return f"{share}; all are of runs that have training rows, so none stands for a new run."


def right_runs(figures: Mapping[str, Any]) -> str:
    """Return "12 of 18 runs right (95 % interval 44 % to 84 %)", of rows where they have labels."""
    if figures["unit"] == "rows":
        low, high = figures["interval"]["accuracy"]
        return (
            f"{_right(figures)} of {figures['n']:,} rows right (95 % interval over recordings "
            f"{low:.1%} to {high:.1%}; MCC {figures['mcc']:.2f})"
        )
    runs = figures["runs"]
    low, high = runs["wilson"]
    return f"{runs['correct']} of {runs['of']} runs right (95 % interval {low:.0%} to {high:.0%})"


def _right(figures: Mapping[str, Any]) -> str:
    """Return how many runs are right, or which share of the rows where these have labels."""
    if figures["unit"] == "rows":
        return f"{figures['accuracy']:.1%}"
    return str(figures["runs"]["correct"])


def _unseen(protocol: str, models: Models) -> str:
    trained = [
        name
        for name in (schema.NESTED, schema.RANDOM_FOREST, schema.DECISION_TREE)
        if name in models
    ]
    if not trained:
        return ""
    name = trained[0]
    who = "the model chosen inside each fold" if name == schema.NESTED else model_name(name)
    runs = models[name]["runs"]
    sentence = f"On {_UNSEEN[protocol]}, {who} judges {right_runs(models[name])}"
    if schema.SETTINGS_ONLY in models:
        sentence += f"; the settings alone get {_right(models[schema.SETTINGS_ONLY])}"
    if schema.MAJORITY in models:
        sentence += f", the commoner label {_right(models[schema.MAJORITY])}"
    sentence += "."
    left = runs["there_are"] - runs["of"]
    if left:
        sentence += (
            f" {left} of {runs['there_are']} runs "
            f"{'has' if left == 1 else 'have'} no full window of cutting rows and cannot be judged."
        )
    return sentence


def _searched(protocol: str, models: Models) -> str:
    if schema.AUTO_SKLEARN not in models:
        return ""
    runs = models[schema.AUTO_SKLEARN]["runs"]
    judged = right_runs(models[schema.AUTO_SKLEARN])
    sentence = f"On {_UNSEEN[protocol]}, auto-sklearn, searched anew without it, judges {judged}."
    if runs["undecided"] and models[schema.AUTO_SKLEARN]["unit"] == "runs":
        sentence += f" On {runs['undecided']} it is undecided: its mean is exactly one half."
    if runs["of"] < runs["there_are"]:
        sentence += f" Only these {runs['of']} of {runs['there_are']} runs were left out."
    return sentence


def _leak(protocol: str, sets: Mapping[str, Models], leaks: Sequence[str]) -> str:
    models = sets.get(schema.PUBLISHED, {})
    if protocol != schema.NEW_SETTING or schema.DECISION_TREE not in models:
        return ""
    runs = models[schema.DECISION_TREE]["runs"]
    seen = (
        f"With the features of single rows a decision tree judges {runs['correct']} of "
        f"{runs['of']} runs of unseen settings right"
    )
    if not leaks:
        return f"{seen}; the audit holds nothing against these features."
    return f"{seen}, which does not count: {leaks[0]}"


def _chance(permutation: Mapping[str, Any], level: float) -> str:
    free = permutation.get("free") or {}
    left_out = permutation["left_out"]
    if permutation.get("p") is None:
        if not permutation["asked"]:
            return str(left_out[FREE])
        if FREE in left_out:
            return (
                "Whether anything beats chance on new runs was not tested, since no question of "
                "whole runs was asked."
            )
        return "Whether anything beats chance on new runs was not tested (no permutations)."
    right, area = free["all"]["runs_correct"], free["all"]["run_auc"]
    within = permutation.get("within_setting") or {}
    verdict = (
        "no better than chance can explain"
        if permutation["p"] >= level
        else "better than chance explains"
    )
    sentence = (
        f"The best of all that was tried judges {right['observed']:.0f} runs right "
        f"(run AUC {area['observed']:.2f}). With labels permuted over whole runs the best does as "
        f"well with p = {right['p']:.2g} (AUC: {area['p']:.2g}; {free['permutations']} permutations"
    )
    if within.get("permutations"):
        matched = within["all"]
        sentence += (
            f"), within runs of the same setting with p = {matched['runs_correct']['p']:.2g} "
            f"(AUC: {matched['run_auc']['p']:.2g}; {within['permutations']}"
        )
    sentence += (
        f"). Taken together that is {verdict}: the largest p is {permutation['p']:.2g}. It is "
        "valid for all of them at once, and weak, since each has to be small by itself."
    )
    return f"{sentence} {left_out[WITHIN]}" if WITHIN in left_out else sentence


def _behaviour(behaviour: Mapping[str, Any]) -> str:
    failed = [item for item in behaviour["checks"] if not item["passed"]]
    sentence = f"The graph passes {behaviour['passed']} of {behaviour['of']} checks of behaviour."
    learnt = sum(item["about"] == "data" for item in failed)
    if learnt:
        sentence += (
            f" {learnt} of those that fail are true of the data: they show what the model has "
            "learnt from these recordings, not a fault of the graph."
        )
    told = " ".join(item["sentence"] for item in failed if "fault" not in item)
    silent = [item["name"] for item in failed if "fault" in item]
    if told:
        sentence += f" {told}"
    if silent:
        sentence += f" Faults that cost much and go unnoticed: {', '.join(silent)}."
    return sentence
