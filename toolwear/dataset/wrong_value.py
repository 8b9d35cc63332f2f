"""What a model of pydantic found wrong, in words."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from toolwear.dataset.limits import near_miss


def sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the end of a sentence: which key is wrong, and how, or which one was meant.

    Args:
        error: its first fault is told.
        model: that found it.
    """
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part != "[key]"]
    key = ".".join(where)
    if first["type"] == "extra_forbidden":
        known = _keys(model, where[:-1])
        near = near_miss(where[-1], known) or f"; the keys are {', '.join(known)}"
        return f"there is no key '{key}'{near}{'' if near.endswith('?') else '.'}"
    if first["type"] == "missing":
        return f"the key '{key}' is missing."
    said = first["msg"].removeprefix("Value error, ").rstrip(".")
    said = f"{said[:1].lower()}{said[1:]}{'' if said.endswith('?') else '.'}"
    return f"'{key}' is wrong: {said}" if key else said


def _keys(model: type[BaseModel], where: list[str]) -> list[str]:
    """Return the keys that the schema knows at a place."""
    whole = model.model_json_schema()
    found: dict[str, Any] = whole
    for part in where:
        found = found.get("properties", {}).get(part) or _of_any_key(found)
        reference = found.get("$ref") or next(
            (item["$ref"] for item in found.get("anyOf", ()) if "$ref" in item), None
        )
        found = whole["$defs"][reference.rsplit("/", 1)[1]] if reference else found
    return list(found.get("properties", {}))


def _of_any_key(found: dict[str, Any]) -> dict[str, Any]:
    by_pattern = next(iter(found.get("patternProperties", {}).values()), None)
    chosen: dict[str, Any] = by_pattern or found.get("additionalProperties") or {}
    return chosen
