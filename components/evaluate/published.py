"""The published figures of one set of recordings, and how ours stand to them on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from scipy.stats import fisher_exact

from components.core import schema
from components.core.metrics import LEVEL, wilson
from components.evaluate.names import model_name

# Row-level split 80/20 of the 17,520 active rows, twelve columns; accuracy, precision, recall, F1
# and correlation (MCC) as published.
TEST_ROWS = 3504
RECORDINGS = "d3b7ecec79b7da1ab39c16d86dc2da505849811a6267f7f3541ca3347870a34f"
Figures = Mapping[str, tuple[float, ...]]
_NAMES = ("accuracy", "precision", "recall", "f1", "mcc")
_FIGURES: Figures = MappingProxyType(
    {
        schema.DECISION_TREE: (0.9900, 0.9900, 0.9915, 0.9908, 0.9799),
        schema.RANDOM_FOREST: (0.9934, 0.9942, 0.9937, 0.9939, 0.9868),
        schema.AUTO_SKLEARN: (0.9946, 0.9958, 0.9942, 0.9950, 0.9891),
    }
)
_NONE: Figures = MappingProxyType({})
_WHY = MappingProxyType(
    {
        schema.DECISION_TREE: "The published tree was tuned by a random search whose result is not "
        "known; ours is a small search inside the training rows.",
        schema.RANDOM_FOREST: "The published forest's parameters and seed are not known; ours has "
        "100 trees and scikit-learn's defaults.",
        schema.AUTO_SKLEARN: "A search limited by time finds another ensemble on every machine; "
        "the published budget and seed are not known.",
    }
)


def published_of(data_digest: str) -> Figures:
    """Return the figures published on these recordings by model; none on any other recordings.

    Args:
        data_digest: SHA-256 of the recordings.
    """
    return _FIGURES if data_digest == RECORDINGS else _NONE


def compare(model: str, errors: int, n: int, published: Figures) -> dict[str, Any] | None:
    """Return the published figures of a model beside ours, None if there are none.

    The published accuracy is as much an estimate as ours, so both error counts are compared with
    Fisher's exact test. It takes the rows for two independent samples: which rows were held back
    for the published figures is not known.

    Args:
        model: its name.
        errors: ours.
        n: our held-back rows.
        published: figures by model, of `published_of`.

    Returns:
        The figures, `n`, `errors` and `interval` of the published ones, `difference` (ours minus
        published), `p` (two-sided), `differs` (whether p is below 0.05) and `sentence`.
    """
    if model not in published or not n:
        return None
    figures = dict(zip(_NAMES, published[model], strict=True))
    theirs = round((1 - figures["accuracy"]) * TEST_ROWS)
    p = float(fisher_exact([[errors, n - errors], [theirs, TEST_ROWS - theirs]]).pvalue)
    difference = 1 - errors / n - figures["accuracy"]
    differs = p < 1 - LEVEL
    side = "better" if errors * TEST_ROWS < theirs * n else "worse"
    verdict = (
        f"more than chance in the rows alone explains, {side} than published"
        if differs
        else "a difference that chance in the rows alone can explain"
    )
    sentence = (
        f"{model_name(model)}: {errors:,} errors in {n:,} rows here ({1 - errors / n:.2%} right), "
        f"{theirs:,} in {TEST_ROWS:,} published ({figures['accuracy']:.2%}): {verdict} "
        f"(Fisher's exact test, p = {p:.2g}). {_WHY[model]}"
    )
    return {
        **figures,
        "n": TEST_ROWS,
        "errors": theirs,
        "interval": {"accuracy": wilson(TEST_ROWS - theirs, TEST_ROWS)},
        "difference": difference,
        "p": p,
        "differs": differs,
        "sentence": sentence,
    }
