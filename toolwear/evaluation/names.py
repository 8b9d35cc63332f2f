"""Names of the models for people."""

from __future__ import annotations

from toolwear.dataset import schema


def model_name(name: str) -> str:
    """Return a model's name as it is written in a sentence."""
    return "auto-sklearn" if name == schema.AUTO_SKLEARN else name.replace("_", " ")
