"""What the searches came to, and what held the outer ones back, in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from toolwear.dataset import schema
from toolwear.evaluation.names import model_name

_BEST = 15  # of the leaderboard, as the report shows it
_DUMMY = "dummy"
_LINEAR = frozenset(
    ("bernoulli_nb", "lda", "liblinear_svc", "multinomial_nb", "passive_aggressive", "sgd")
)


def sentences(search: Mapping[str, Any], samples: Sequence[int]) -> list[str]:
    """Return what the main search found, and how the outer ones were held back.

    Args:
        search: content of `search.json`.
        samples: of each run, how many the outer searches had.
    """
    return [said for said in (_found(search), _outer(search, samples), _skipped(search)) if said]


def _found(search: Mapping[str, Any]) -> str:
    members = Counter(member["classifier"] for member in search["ensemble"])
    best = [entry for entry in search["leaderboard"] if entry["cost"] is not None][:_BEST]
    tried = Counter(entry["classifier"] for entry in best)
    evaluations = search["counts"]["evaluations"]
    if not best or set(members) == {_DUMMY}:
        return (
            f"None of the {evaluations} evaluations of the search on known runs beat a dummy that "
            "answers with the share of each class."
        )
    said = (
        f"The search on known runs chose {_told(members)} ({members.total()} members); the "
        f"{len(best)} best of {evaluations} evaluations are {_told(tried)}."
    )
    if set(members) == set(tried) and len(members) == 1:
        return said + " So it came to the tuning of one family, not to a choice among several."
    return said


def _outer(search: Mapping[str, Any], samples: Sequence[int]) -> str:
    done = [item for item in search["outer"] if "skipped" not in item]
    if not done:
        return ""
    settings = search["settings"]
    budget = (
        f"{settings['evaluations']} evaluations each"
        if settings["evaluations"]
        else f"{settings['outer_seconds']} s each (the main one {settings['seconds']} s)"
    )
    dummies = sum({m["classifier"] for m in item["ensemble"]} == {_DUMMY} for item in done)
    held = [f"they had {budget}"]
    if dummies:
        held.append(
            f"{dummies} ended with a dummy, which answers with the share of each class whatever "
            "the features are"
        )
    if samples and min(samples) < max(samples):
        held.append(
            f"a run counts by its samples ({min(samples)} to {max(samples)}), whereas the "
            "baselines weigh runs and classes alike"
        )
    linear = sorted(_LINEAR & set(settings["space"]["classifier"]))
    held.append(
        f"of linear models they could try {', '.join(linear)} only"
        if linear
        else "they could try no linear model"
    )
    return (
        f"The {len(done)} searches that left a run or a setting out were handicapped, so their "
        f"figures are not the most that a search can do: {'; '.join(held)}."
    )


def _skipped(search: Mapping[str, Any]) -> str:
    skipped = [item for item in search["outer"] if "skipped" in item]
    if not skipped:
        return ""
    names = ", ".join(f"{item['fold']} ({item['protocol'].replace('_', ' ')})" for item in skipped)
    return (
        f"{len(skipped)} of {len(search['outer'])} searches that leave a run or a setting out were "
        f"not made: without {names}, one class or one of its groups only is left to learn from, so "
        "that models cannot be ranked."
    )


def _told(families: Counter[str]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in families.most_common())


def pooled(models: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what to know of areas under the curve over runs that were left out one at a time.

    Args:
        models: figures by model, of one protocol.
    """
    area = models.get(schema.MAJORITY, {}).get("auc")
    if area is None or not area < 0.5:
        return ""
    return (
        "An AUC over runs left out pools answers of models that each lack another run, and is "
        f"biased down by it: {model_name(schema.MAJORITY)}, which knows nothing, gets {area:.2f} "
        "in place of 0.5. Such AUCs compare with each other and with permuted labels, not with 0.5."
    )
