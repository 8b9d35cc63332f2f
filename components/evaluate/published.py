"""The published figures of one set of recordings, and how ours stand to them on the same rows."""

from __future__ import annotations

from typing import Any

from scipy.stats import fisher_exact

from toolwear.dataset.contract import Published
from toolwear.evaluation.metrics import LEVEL, wilson
from toolwear.evaluation.names import model_name


def compare(model: str, errors: int, n: int, published: Published | None) -> dict[str, Any] | None:
    """Return the published figures of a model beside ours, None if there are none.

    The published accuracy is as much an estimate as ours, so both error counts are compared with
    Fisher's exact test. It takes the rows for two independent samples: which rows were held back
    for the published figures is not known.

    Args:
        model: its name.
        errors: ours.
        n: our held-back rows.
        published: figures made on these recordings, of `contract.published`.

    Returns:
        The figures, `n`, `errors` and `interval` of the published ones, `difference` (ours minus
        published), `p` (two-sided), `differs` (whether p is below 0.05) and `sentence`.
    """
    if published is None or model not in published.models or not n:
        return None
    rows, known = published.rows, published.models[model]
    figures = known.model_dump(exclude={"differs"})
    theirs = round((1 - figures["accuracy"]) * rows)
    p = float(fisher_exact([[errors, n - errors], [theirs, rows - theirs]]).pvalue)
    difference = 1 - errors / n - figures["accuracy"]
    differs = p < 1 - LEVEL
    side = "better" if errors * rows < theirs * n else "worse"
    verdict = (
        f"more than chance in the rows alone explains, {side} than published"
        if differs
        else "a difference that chance in the rows alone can explain"
    )
    sentence = (
        f"{model_name(model)}: {errors:,} errors in {n:,} rows here ({1 - errors / n:.2%} right), "
        f"{theirs:,} in {rows:,} published ({figures['accuracy']:.2%}): {verdict} "
        f"(Fisher's exact test, p = {p:.2g}). {known.differs}"
    ).strip()
    return {
        **figures,
        "n": rows,
        "errors": theirs,
        "interval": {"accuracy": wilson(rows - theirs, rows)},
        "difference": difference,
        "p": p,
        "differs": differs,
        "sentence": sentence,
    }
