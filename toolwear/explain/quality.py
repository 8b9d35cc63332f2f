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
    within = f"{quality['relative_standard_error']:.0%}"
    parts = [f"The attributions are estimated to within {within} (relative standard error)"]
    if "exact_error" in quality:
        parts.append(f"are {quality['exact_error']:.0%} off the exact ones in sum")
    if "background_error" in quality:
        parts.append(f"change by {quality['background_error']:.0%} with other background rows")
    told = ", ".join(parts)
    if "base_error" in quality:
        told += f"; the base value is within {quality['base_error']:.2f}"
    if "deletion_top" in quality and "deletion_random" in quality:
        told += (
            f"; without the top features P(worn) moves by {quality['deletion_top']:.2f}, without "
            f"as many random ones by {quality['deletion_random']:.2f}"
        )
    return f"{told}."


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
        f"them) at {quality['grid_points']} points of each feature"
        + (
            f"; the curves of two halves of the rows differ by {quality['halves_gap']:.2f} at most."
            if "halves_gap" in quality
            else "."
        )
    )


def _surrogate(quality: Quality) -> str:
    low, high = quality["interval"]
    rule = quality.get("one_rule")
    split = "" if rule is None else f"a single split would reach {rule:.1%}, "
    return (
        f"The tree gives the model's answer on {quality['fidelity']:.1%} of {quality['rows']:,} "
        f"held-out rows (95 % interval {low:.1%} to {high:.1%}); {split}always giving the "
        f"commonest answer {quality['one_label']:.1%}."
    )


# The sentence, the figures that it needs, and those that need not be told beside it.
_SENTENCES: dict[str, tuple[Callable[[Quality], str], frozenset[str], frozenset[str]]] = {
    "shap": (
        _shap,
        frozenset({"relative_standard_error"}),
        frozenset(
            {
                "rows",
                "exact_error",
                "exact_rows",
                "reference",
                "background_error",
                "base_error",
                "base_population",
                "base_sd",
                "deletion_top",
                "deletion_random",
                "deleted",
            }
        ),
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
        frozenset({"halves_gap"}),
    ),
    "pdp": (
        _curves,
        frozenset({"rows", "background_share", "grid_points"}),
        frozenset({"halves_gap"}),
    ),
    "surrogate": (
        _surrogate,
        frozenset({"rows", "fidelity", "interval", "one_label"}),
        frozenset({"depth", "leaves", "fitted_rows", "r2", "one_rule", "one_column"}),
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
