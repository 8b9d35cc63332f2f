"""JSON schemas of the rows that clients may ask about, as `serving.common.rows` reads them."""

from __future__ import annotations

from typing import Any

from serving.common.rows import TIMESTAMP, RawColumns
from toolwear.dataset import schema

EXAMPLE_RUN = schema.run_id(1)
_NUMBER = {"type": "number"}
ENTITY: dict[str, Any] = {
    "title": "A run whose newest features are in the feature store",
    "type": "object",
    "required": [schema.RUN_ID],
    "properties": {
        schema.RUN_ID: {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        TIMESTAMP: {"type": ["string", "null"], "format": "date-time"},
    },
    "additionalProperties": False,
}


def raw(columns: RawColumns) -> dict[str, Any]:
    """Return the schema of a raw row."""
    words = (*columns.dataset.phases.names, *columns.dataset.phases.spellings)
    return {
        "title": "A raw telemetry row",
        "type": "object",
        "required": list(columns.names),
        "properties": {
            **dict.fromkeys(columns.numbers, _NUMBER),
            **{name: {"enum": [*dict.fromkeys(words)]} for name in columns.texts},
        },
        "additionalProperties": False,
    }


def features(columns: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schemas of a row of finished features: by name, and in the model's order."""
    by_name = {
        "title": "A row of features",
        "type": "object",
        "required": list(columns),
        "properties": dict.fromkeys(columns, _NUMBER),
        "additionalProperties": False,
    }
    n = len(columns)
    return by_name, {"type": "array", "items": _NUMBER, "minItems": n, "maxItems": n}
