"""Names of the models for people."""

from __future__ import annotations

from toolwear.dataset import schema

_NAMES = {
    schema.AUTO_SKLEARN: "auto-sklearn",
    schema.CONTEXT: "settings and elapsed time",
}


def model_name(name: str) -> str:
    """Return a model's name as it is written in a sentence."""
    return _NAMES.get(name, name.replace("_", " "))
