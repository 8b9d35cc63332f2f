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

    @property
    def unsure(self) -> bool:
        """Whether it is unsure of most of its rows.

        Rows of a request are neighbours in time and stand or fall together, so that requests are
        counted and not rows.
        """
        return 2 * self.verdicts.count(NOT_SURE) > len(self.verdicts)


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


def compared(ours: Said, theirs: Said) -> tuple[int, int]:
    """Return of how many rows both are sure, and on how many of these they disagree."""
    pairs = [
        (a, b)
        for a, b in zip(ours.verdicts, theirs.verdicts, strict=False)
        if NOT_SURE not in (a, b)
    ]
    return len(pairs), sum(a != b for a, b in pairs)
