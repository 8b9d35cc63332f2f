"""The model card: what the model is, what it may be used for, and what it cannot do.

The sections follow Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from toolwear.dataset import schema

_TEMPLATE = "model_card.md.j2"


def render(**values: Any) -> str:
    """Return the card as Markdown; raises jinja2's UndefinedError if a figure is missing.

    Args:
        values: description (of the package), metrics, audit, explanations, coverage (of the
            abstention), members (of the ensemble, in words), training (rows and runs) and size
            (bytes and tree_nodes of the graph).
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown, not HTML
    )
    environment.filters["number"] = _number
    environment.filters["interval"] = _interval
    published = any(
        figures.get("published")
        for models in values["metrics"]["protocols"].values()
        for figures in models.values()
    )
    return environment.get_template(_TEMPLATE).render(
        protocols=_PROTOCOLS, models=schema.MODELS, published=published, **values
    )


_PROTOCOLS = {
    schema.KNOWN_RUNS: "known runs (rows held back at random)",
    schema.NEW_RUN: "a new run (one run left out at a time)",
    schema.NEW_SETTING: "a new machine setting (one setting left out at a time)",
}


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2g}" if 0 < abs(value) < 0.001 else f"{value:.4f}"


def _interval(bounds: Any) -> str:
    return "" if not bounds else f" ({bounds[0]:.4f} to {bounds[1]:.4f})"
