"""What an answer says, as far as tracks are compared by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

NOT_SURE = "not_sure"


@dataclass(frozen=True)
class Said:
    """An answer's content.

    Attributes:
        version: of the model that gave it.
        verdicts: one for each row.
    """

    version: str
    verdicts: tuple[str, ...]


def said(body: bytes, json_length: str | None) -> Said | None:
    """Return what an answer of either protocol says; None if it has not the form of one.

    Args:
        body: all of it.
        json_length: the header inference-header-content-length.
    """
    try:
        value = orjson.loads(body[: int(json_length)] if json_length else body)
        found = _v1(value) if "predictions" in value else _v2(value)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found.verdicts else None


def _v1(value: dict[str, Any]) -> Said:
    verdicts = tuple(str(item["verdict"]) for item in value["predictions"])
    return Said(str(value["receipt"]["version"]), verdicts)


def _v2(value: dict[str, Any]) -> Said:
    """Read JSON tensors; of binary ones, or where a client wants no verdicts, none are known."""
    outputs = {output["name"]: output.get("data") or () for output in value["outputs"]}
    return Said(str(value["model_version"]), tuple(map(str, outputs.get("verdict", ()))))
