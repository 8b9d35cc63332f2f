"""What the explanations say together: importance, agreement of methods, and plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from toolwear.explain.methods.shap_values import Attributions
from toolwear.explain.methods.subject import Envelope

# A share of the whole below which the sign of an attribution is not worth comparing.
_WORTH_COMPARING = 0.1
# A signal that alone makes up this share of what one label for all gets wrong carries the model.
_ONE_SIGNAL = 0.5


def importance(names: Sequence[str], found: Attributions) -> dict[str, Any]:
    """Return the mean |SHAP| of each feature over a sample of rows, and what it was measured on.

    `features` maps a name to its mean, standard deviation and standard error over rows, its share
    of the total, and the deciles of |SHAP|. Stored as the reference of later attributions, so
    that a drift of the feature attributions can be told from a drift of the data.
    """
    size = np.abs(found.values)
    rows = len(size)
    mean, spread = size.mean(axis=0), size.std(axis=0)
    total = mean.sum()
    deciles = np.quantile(size, np.linspace(0, 1, 11), axis=0)
    features = {
        name: {
            "mean": float(mean[j]),
            "sd": float(spread[j]),
            "standard_error": float(spread[j] / np.sqrt(rows)),
            "share": float(mean[j] / total) if total else 0.0,
            "deciles": deciles[:, j].tolist(),
        }
        for j, name in enumerate(names)
    }
    return {
        "features": features,
        "base_value": found.base,
        "rows": rows,
    }


def agreement(shap: Envelope, lime: Envelope) -> dict[str, Any]:
    """Return, row by row, where SHAP and LIME contradict each other.

    Both are contributions against the background, in units of P(worn), so their signs mean the
    same. Signs are compared for features that carry at least a tenth of the attribution in both.
    """
    names = shap["meta"]["features"]
    rows = []
    for ours, theirs in zip(shap["data"]["rows"], lime["data"]["rows"], strict=True):
        one, other = np.array(ours["values"]), np.array(theirs["contributions"])
        shares = [np.abs(v) / (np.abs(v).sum() or 1) for v in (one, other)]
        both = (shares[0] >= _WORTH_COMPARING) & (shares[1] >= _WORTH_COMPARING)
        opposed = [names[j] for j in np.flatnonzero(both & (one * other < 0))]
        tops = names[int(np.argmax(np.abs(one)))], names[int(np.argmax(np.abs(other)))]
        rows.append(
            {
                "shap_top": tops[0],
                "lime_top": tops[1],
                "same_top": tops[0] == tops[1],
                "opposed_signs": opposed,
                "sentence": _row_sentence(tops, opposed, theirs["r2"], theirs["gap"]),
            }
        )
    return {
        "rows": rows,
        "same_top": sum(row["same_top"] for row in rows),
        "opposed_signs": sum(bool(row["opposed_signs"]) for row in rows),
    }


def _row_sentence(tops: tuple[str, str], opposed: list[str], r2: float, gap: float) -> str:
    trust = f" (LIME's local R² {r2:.2f}, {gap:.2f} off at the row)"
    if tops[0] != tops[1]:
        return f"SHAP puts {tops[0]} first, LIME {tops[1]}{trust}."
    if opposed:
        return f"SHAP and LIME give {', '.join(opposed)} opposite signs{trust}."
    return f"SHAP and LIME agree on {tops[0]}{trust}."


def sentences(
    methods: dict[str, Envelope], reference: dict[str, Any], agreed: dict[str, Any]
) -> list[str]:
    """Return what a reader should know, each sentence with its numbers; no column is special.

    Args:
        methods: the envelopes of shap, lime, anchor, ice, pdp and surrogate.
        reference: what `importance` returned.
        agreed: what `agreement` returned.
    """
    top = max(reference["features"], key=lambda name: reference["features"][name]["share"])
    return [
        *_attribution(reference, top),
        *_exactness(methods["shap"]),
        *_dependence(methods["pdp"], top),
        *_imitation(methods["surrogate"], top),
        *_rules(methods["anchor"]),
        *_local(methods["lime"], agreed),
    ]


def _attribution(reference: dict[str, Any], top: str) -> list[str]:
    features = reference["features"]
    ranked = sorted(features, key=lambda name: -features[name]["share"])
    share, rows = features[top]["share"], reference["rows"]
    return [
        f"{top} carries {share:.0%} of the attribution (mean |SHAP| over {rows} test rows)"
        + (
            f"; next comes {ranked[1]} with {features[ranked[1]]['share']:.0%}."
            if ranked[1:]
            else "."
        )
    ]


def _exactness(shap: Envelope) -> list[str]:
    quality, base = shap["quality"], shap["data"]["base_value"]
    error = (
        f"Against {quality['reference']} of features, the SHAP values of {quality['exact_rows']} "
        f"rows are {quality['exact_error']:.1%} off in sum; against other background rows they "
        f"change by {quality['background_error']:.1%}. The base value is {base:.3f}, its standard "
        f"deviation over redrawn backgrounds {quality['base_sd']:.3f}, the mean over all training "
        f"rows {quality['base_population']:.3f}."
    )
    moved = (
        f"With the {quality['deleted']} features of the largest SHAP values replaced by those of "
        f"background rows, P(worn) moves by {quality['deletion_top']:.2f} on average; with as many "
        f"at random by {quality['deletion_random']:.2f}"
    )
    tells = quality["deletion_top"] > quality["deletion_random"]
    return [error, moved + ("." if tells else ": the ranking tells nothing of the prediction.")]


def _dependence(pdp: Envelope, top: str) -> list[str]:
    curves = pdp["data"]["curves"]
    curve, rows = curves[top], pdp["quality"]["rows"]
    first = (
        f"Moved alone over its recorded values, {top} takes the mean P(worn) from "
        f"{min(curve['mean']):.2f} to {max(curve['mean']):.2f} (PDP, {rows} training rows)"
    )
    others = {name: c["swing"] for name, c in curves.items() if name != top}
    if others:
        widest = max(others, key=lambda name: others[name])
        first += f"; no other feature moves it by more than {others[widest]:.2f} ({widest})"
    told = [f"{first}."]
    if curve["turns"] > 1:
        told.append(
            f"Along {top} the prediction turns {curve['turns']} times: bands, not a trend, "
            "whereas wear would be expected to act in one direction."
        )
    return told


def _imitation(surrogate: Envelope, top: str) -> list[str]:
    quality, alone = surrogate["quality"], surrogate["data"]["fidelity_by_feature"]
    low, high = quality["interval"]
    whole = (
        f"A tree of {quality['leaves']} leaves says what the model says on "
        f"{quality['fidelity']:.1%} of {quality['rows']} test rows (95 % interval over rows "
        f"{low:.1%} to {high:.1%}); {_rule(surrogate)} would reach {quality['one_rule']:.1%}, one "
        f"label for all {quality['one_label']:.1%}."
    )
    best = max(alone, key=lambda name: alone[name])
    single = (
        f"A tree that sees {best} alone still agrees with the model on {alone[best]:.1%} of them."
    )
    if best != top:
        single += f" By SHAP, {top} matters most; the two measures disagree."
    gained = (alone[best] - quality["one_label"]) / ((1 - quality["one_label"]) or 1)
    if gained <= _ONE_SIGNAL:
        return [whole, single]
    warning = (
        f"The model relies on one signal: before it is trusted on other recordings, ask whether "
        f"{best} measures wear or only marks which recording a row is from."
    )
    return [whole, single, warning]


def _rule(surrogate: Envelope) -> str:
    rule = surrogate["data"]["one_rule"]
    if rule["feature"] is None:
        return "one rule"
    return f"one rule ({rule['feature']} ≤ {rule['threshold']:.5g})"


def _rules(anchor: Envelope) -> list[str]:
    quality, rows = anchor["quality"], anchor["data"]["rows"]
    kept = [row for row in rows if row["meets_threshold"]]
    used = Counter(term["feature"] for row in kept for term in row["rule"])
    told = (
        f"{quality['meets_threshold']} of {quality['rows']} anchor rules keep a precision of "
        f"{quality['threshold']:.0%} when measured again on rows that the search has not seen"
    )
    if used:
        name, count = used.most_common(1)[0]
        told += f"; {name} is in {count} of these"
    return [told + "."]


def _local(lime: Envelope, agreed: dict[str, Any]) -> list[str]:
    quality, settings = lime["quality"], lime["meta"]["settings"]
    verdict = (
        "read it as a slope nearby, no more"
        if 2 * quality["faithful"] >= quality["rows"]
        else "it is not to be relied on"
    )
    trust = (
        f"LIME's linear model is faithful in {quality['faithful']} of {quality['rows']} rows "
        f"(local R² of at least {settings['minimum_r2']:g} and at most "
        f"{settings['maximum_gap']:g} off at the row; median R² {quality['r2_median']:.2f}, "
        f"median distance {quality['gap_median']:.2f}): {verdict}."
    )
    agree = (
        f"SHAP and LIME put the same feature first in {agreed['same_top']} of "
        f"{len(agreed['rows'])} rows and give a major feature opposite signs in "
        f"{agreed['opposed_signs']}."
    )
    return [trust, agree]
