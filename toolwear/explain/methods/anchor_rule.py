"""Anchors: a rule that fixes a prediction whatever the other features are.

Method: Ribeiro, Singh & Guestrin 2018 (https://doi.org/10.1609/aaai.v32i1.11491), searched by
alibi (https://docs.seldon.io/projects/alibi/en/stable/methods/Anchors.html). alibi prints
bounds to two decimals, and its precision runs high: it reuses samples drawn for shorter rules, in
which the added feature still goes with the free ones. Here bounds are exact, and precision and
coverage are measured again on rows that the search has not seen.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from toolwear.explain.alibi_compat import anchor_tabular
from toolwear.explain.methods.subject import (
    Envelope,
    Subject,
    envelope,
    is_worn,
    seeded,
    wilson,
)


@dataclass(frozen=True)
class AnchorSettings:
    """Of the search (alibi's names where it has them) and of the check after it."""

    threshold: float = 0.9
    max_anchor_size: int = 4  # without a bound rules grow to a dozen terms that cover nothing
    beam_size: int = 1  # 2 asks the model twice as much and finds no better rules here
    batch_size: int = 100  # alibi keeps its samples: 500 takes gigabytes on wide data
    coverage_samples: int = 2000
    percentiles: tuple[int, ...] = (10, 25, 50, 75, 90)  # quartiles are too coarse for bands
    fit_rows: int = 5000
    fresh_samples: int = 1000


DEFAULT = AnchorSettings()


@dataclass(frozen=True)
class Term:
    """A half-open range of one feature: lower < value <= upper; None is no bound."""

    feature: int
    lower: float | None
    upper: float | None

    def holds(self, rows: np.ndarray) -> np.ndarray:
        """Return where the term holds, bool (rows,)."""
        values = rows[:, self.feature]
        above = np.ones(len(rows), bool) if self.lower is None else values > self.lower
        return above if self.upper is None else above & (values <= self.upper)

    def text(self, name: str) -> str:
        """Return the term for a person, bounds to six digits."""
        left = "" if self.lower is None else f"{self.lower:.6g} < "
        right = "" if self.upper is None else f" ≤ {self.upper:.6g}"
        return f"{name} > {self.lower:.6g}" if self.upper is None else f"{left}{name}{right}"


def explain(
    subject: Subject,
    rows: np.ndarray,
    held_out: np.ndarray | None = None,
    settings: AnchorSettings = DEFAULT,
) -> Envelope:
    """Return the envelope for `rows` (rows, features); data.rows has one entry a row.

    Args:
        subject: its background is what the search samples from.
        rows: predictions to explain.
        held_out: rows (n, features) to measure rules on; by default half of the background,
            which the search then does not see.
        settings: of the search.
    """
    rows = subject.checked(rows)
    fit_rows, check_rows = subject.fit_and_check_rows(held_out)
    if len(fit_rows) > settings.fit_rows:
        drawn = np.random.default_rng(subject.seed).choice(
            len(fit_rows), settings.fit_rows, replace=False
        )
        fit_rows = fit_rows[np.sort(drawn)]
    check_labels = is_worn(subject.predict(check_rows))
    explained = []
    for row in rows:
        terms, claimed = _search(subject, row, fit_rows, settings)
        measured = measure(subject, row, terms, check_rows, check_labels, settings)
        explained.append(
            {
                "features": row.tolist(),
                "rule": [
                    {"feature": subject.names[t.feature], "lower": t.lower, "upper": t.upper}
                    for t in terms
                ],
                "text": " and ".join(t.text(subject.names[t.feature]) for t in terms) or "always",
                "claimed": claimed,
                **measured,
            }
        )
    precision = np.array([row["precision"] for row in explained])
    quality = {
        "precision_min": float(precision.min()),
        "precision_mean": float(precision.mean()),
        "claimed_mean": float(np.mean([row["claimed"]["precision"] for row in explained])),
        "coverage_median": float(np.median([row["coverage"] for row in explained])),
        "threshold": settings.threshold,
        "meets_threshold": sum(row["meets_threshold"] for row in explained),
        "rows": len(rows),
        "held_out_rows": len(check_rows),
    }
    return envelope(subject, "anchor", "alibi", settings, {"rows": explained}, quality)


def measure(
    subject: Subject,
    row: np.ndarray,
    terms: list[Term],
    check_rows: np.ndarray,
    check_labels: np.ndarray,
    settings: AnchorSettings = DEFAULT,
) -> dict[str, Any]:
    """Return a rule's precision and coverage on rows that the search has not seen.

    `precision` follows the method's definition: features outside the rule are drawn freely, those
    inside it jointly from rows that keep it. `held_out` is the plain share among real rows that
    keep the rule. Intervals are 95 % Wilson intervals over rows.
    """
    prediction = float(subject.predict(row[None])[0])
    label = int(is_worn(np.array([prediction]))[0])
    covered = np.ones(len(check_rows), bool)
    for term in terms:
        covered &= term.holds(check_rows)
    draw = np.random.default_rng(subject.seed)
    fresh = check_rows[draw.integers(len(check_rows), size=settings.fresh_samples)]
    columns = sorted({term.feature for term in terms})
    if columns:
        # No real row keeps the rule: then only the explained row says what keeping it looks like.
        keepers = check_rows[covered] if covered.any() else row[None]
        kept = keepers[draw.integers(len(keepers), size=len(fresh))]
        fresh[:, columns] = kept[:, columns]
    hits = int((is_worn(subject.predict(fresh)) == label).sum())
    real = int((check_labels[covered] == label).sum())
    n_covered = int(covered.sum())
    return {
        "prediction": prediction,
        "label": label,
        "precision": hits / len(fresh),
        "interval": wilson(hits, len(fresh)),
        "samples": len(fresh),
        "coverage": n_covered / len(check_rows),
        "held_out": {
            "precision": real / n_covered if n_covered else None,
            "interval": wilson(real, n_covered),
            "covered": n_covered,
            "rows": len(check_rows),
            "prior": float((check_labels == label).mean()),
        },
        "meets_threshold": hits / len(fresh) >= settings.threshold,
    }


def _search(
    subject: Subject, row: np.ndarray, fit_rows: np.ndarray, settings: AnchorSettings
) -> tuple[list[Term], dict[str, float]]:
    """Return the rule that alibi finds for one row, and what alibi claims of it."""
    with seeded(subject.seed), _no_warnings_of("alibi"):
        # Fresh for every row: an explainer keeps the look-up tables of the row before.
        explainer = _exact_anchors()(
            lambda samples: is_worn(subject.predict(samples)),
            feature_names=list(subject.names),
            dtype=np.float64,
            seed=subject.seed,
        )
        explainer.fit(fit_rows, disc_perc=settings.percentiles)
        np.random.seed(subject.seed)  # noqa: NPY002 - the search draws from this generator
        found = explainer.explain(
            row,
            threshold=settings.threshold,
            beam_size=settings.beam_size,
            batch_size=settings.batch_size,
            coverage_samples=settings.coverage_samples,
            max_anchor_size=settings.max_anchor_size,
        )
    terms = told_terms(_terms(explainer, found.raw["encoded"]), fit_rows)
    return terms, {"precision": float(found.precision), "coverage": float(found.coverage)}


def told_terms(terms: list[Term], rows: np.ndarray) -> list[Term]:
    """Return the terms that exclude any row; a bin that ends at the largest value says nothing."""
    return [term for term in terms if not term.holds(rows).all()]


def _terms(explainer: Any, encoded: list[int]) -> list[Term]:
    """Return the encoded bins of a rule as exact ranges, one term a feature."""
    bounds: dict[int, list[float | None]] = {}
    edges_of = explainer.samplers[0].disc.lambdas
    for index in encoded:
        feature, bins = explainer.enc2feat_idx[index], explainer.ord_lookup[index]
        edges = edges_of[feature].keywords["qts"]
        low_high = bounds.setdefault(int(feature), [None, None])
        if 0 in bins:  # from the lowest bin up to this one
            edge = float(edges[max(bins)])
            low_high[1] = edge if low_high[1] is None else min(low_high[1], edge)
        else:
            edge = float(edges[min(bins) - 1])
            low_high[0] = edge if low_high[0] is None else max(low_high[0], edge)
    return [Term(feature, lower, upper) for feature, (lower, upper) in sorted(bounds.items())]


@cache
def _exact_anchors() -> Any:
    class ExactAnchors(anchor_tabular()):  # type: ignore[misc]
        """alibi's explainer, which also hands out the bins before it rounds them to text."""

        def add_names_to_exp(self, explanation: dict[str, Any]) -> None:
            encoded = [int(index) for index in explanation["feature"]]
            super().add_names_to_exp(explanation)
            explanation["encoded"] = encoded

    return ExactAnchors


class _no_warnings_of:  # noqa: N801 - a context manager
    """Silence a library's log: a missed threshold is measured and reported by us."""

    def __init__(self, library: str) -> None:
        self._logger = logging.getLogger(library)

    def __enter__(self) -> None:
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_error: object) -> None:
        self._logger.setLevel(self._level)
