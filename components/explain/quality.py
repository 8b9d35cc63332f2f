"""How far to rely on an explanation: one sentence a method, from the figures of its quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Quality = Mapping[str, Any]


def quality_sentence(method: str, quality: Quality) -> str:
    """Return one sentence about an explanation's quality, with rounded figures.

    Args:
        method: its name; one without a sentence of its own has its figures listed.
        quality: figures by name; one that its sentence does not use is added at the end, None is
            left out.
    """
    there = {name: value for name, value in quality.items() if value is not None}
    told, used = "", frozenset[str]()
    if method in _SENTENCES:
        make, needed, used = _SENTENCES[method]
        told = make(there) if needed <= there.keys() else ""
        used = used | needed if told else frozenset()
    rest = "; ".join(
        f"{name.replace('_', ' ')} {_rounded(value)}"
        for name, value in there.items()
        if name not in used
    )
    if told and rest:
        return f"{told.removesuffix('.')}; {rest}."
    return told or f"{rest}."


def _shap(quality: Quality) -> str:
    error = quality["relative_standard_error"]
    return f"The attributions are estimated to within {error:.0%} (relative standard error)."


def _lime(quality: Quality) -> str:
    rows, faithful = quality["rows"], quality["faithful"]
    if rows == 1:
        fits = "fits" if faithful else "does not fit"
        return (
            f"The linear model {fits} around this prediction (R² {quality['r2_median']:.2f}, "
            f"{quality['gap_median']:.2f} off)."
        )
    return (
        f"The linear model fits around {faithful} of {rows} predictions (median R² "
        f"{quality['r2_median']:.2f}, {quality['gap_median']:.2f} off)."
    )


def _anchor(quality: Quality) -> str:
    threshold, rows = f"{quality['threshold']:.0%}", quality["rows"]
    precision = quality.get("precision_mean")
    found = "is not known" if precision is None else f"is {precision:.0%}"
    covered = (
        f"covers {quality['coverage_median']:.1%} of {quality['held_out_rows']:,} held-out rows"
    )
    if rows == 1:
        reaches = "reaches" if quality["meets_threshold"] else "misses"
        return (
            f"On held-out rows the rule's precision {found}: it {reaches} the target of "
            f"{threshold} and {covered}."
        )
    return (
        f"{quality['meets_threshold']} of {rows} rules reach the target precision of {threshold} "
        f"on held-out rows (mean precision {found.removeprefix('is ')}); half of them "
        f"{covered.replace('covers', 'cover at least')}."
    )


def _curves(quality: Quality) -> str:
    return (
        f"Averaged over {quality['rows']:,} training rows ({quality['background_share']:.1%} of "
        f"them) at {quality['grid_points']} points of each feature."
    )


def _surrogate(quality: Quality) -> str:
    low, high = quality["interval"]
    return (
        f"The tree gives the model's answer on {quality['fidelity']:.1%} of {quality['rows']:,} "
        f"held-out rows (95 % interval {low:.1%} to {high:.1%}); always giving the commonest "
        f"answer would reach {quality['one_label']:.1%}."
    )


# The sentence, the figures that it needs, and those that need not be told beside it.
_SENTENCES: dict[str, tuple[Callable[[Quality], str], frozenset[str], frozenset[str]]] = {
    "shap": (
        _shap,
        frozenset({"relative_standard_error"}),
        frozenset({"rows", "additivity_error"}),
    ),
    "lime": (
        _lime,
        frozenset({"rows", "faithful", "r2_median", "gap_median"}),
        frozenset({"r2_min", "gap_max", "jaccard_top5_mean", "rank_correlation_mean"}),
    ),
    "anchor": (
        _anchor,
        frozenset({"rows", "threshold", "meets_threshold", "coverage_median", "held_out_rows"}),
        frozenset({"claimed_mean", "precision_mean", "precision_min"}),
    ),
    "ice": (
        _curves,
        frozenset({"rows", "background_share", "grid_points"}),
        frozenset({"pdp_is_mean_of_ice_error"}),
    ),
    "pdp": (
        _curves,
        frozenset({"rows", "background_share", "grid_points"}),
        frozenset({"pdp_is_mean_of_ice_error"}),
    ),
    "surrogate": (
        _surrogate,
        frozenset({"rows", "fidelity", "interval", "one_label"}),
        frozenset({"depth", "leaves", "fitted_rows", "r2"}),
    ),
}


def _rounded(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return " to ".join(_rounded(item) for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
