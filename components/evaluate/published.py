"""The published figures on these recordings, and how ours stand to them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from components.core import schema
from components.core.metrics import wilson
from components.evaluate.names import model_name

# Row-level split 80/20 of the 17,520 active rows, twelve columns; accuracy, precision, recall, F1
# and correlation (MCC) as published.
TEST_ROWS = 3504
_NAMES = ("accuracy", "precision", "recall", "f1", "mcc")
_FIGURES = MappingProxyType(
    {
        schema.DECISION_TREE: (0.9900, 0.9900, 0.9915, 0.9908, 0.9799),
        schema.RANDOM_FOREST: (0.9934, 0.9942, 0.9937, 0.9939, 0.9868),
        schema.AUTO_SKLEARN: (0.9946, 0.9958, 0.9942, 0.9950, 0.9891),
    }
)
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


def compare(model: str, accuracy: float, interval: tuple[float, float]) -> dict[str, Any] | None:
    """Return the published figures of a model beside ours, None if there are none.

    Args:
        model: its name.
        accuracy: ours, on the same split.
        interval: of it.

    Returns:
        The figures, `n`, `interval`, `difference` (ours minus published), `within` (the published
        accuracy lies in our interval) and `sentence`.
    """
    if model not in _FIGURES:
        return None
    figures = dict(zip(_NAMES, _FIGURES[model], strict=True))
    published = figures["accuracy"]
    difference = accuracy - published
    within = interval[0] <= published <= interval[1]
    side = "above" if difference > 0 else "below"
    verdict = (
        "which chance in the rows alone may make"
        if within
        else f"more than chance in the rows alone would make, and {side} what was published"
    )
    sentence = (
        f"{model_name(model)}: {accuracy:.2%} here (95 % interval {interval[0]:.2%} to "
        f"{interval[1]:.2%}), {published:.2%} published: a difference of {100 * difference:+.2f} "
        f"points, {verdict}. {_WHY[model]}"
    )
    return {
        **figures,
        "n": TEST_ROWS,
        "interval": {"accuracy": wilson(round(published * TEST_ROWS), TEST_ROWS)},
        "difference": difference,
        "within": within,
        "sentence": sentence,
    }
