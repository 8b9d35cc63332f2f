"""JSON files, written atomically and without NaN, so that any reader can parse them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from toolwear.common.disk import whole
from toolwear.common.files import TEXT_BYTES, read_regular


def clean(value: Any) -> Any:
    """Return `value` with NaN and infinities as None and NumPy scalars and arrays as plain ones."""
    if isinstance(value, dict):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    if hasattr(value, "tolist"):
        return clean(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def in_digits(value: Any, digits: int) -> Any:
    """Return `value`, cleaned, with its floats in so many significant digits.

    What is added up in threads differs in the last ones from run to run.
    """
    value = clean(value)
    if isinstance(value, dict):
        return {key: in_digits(item, digits) for key, item in value.items()}
    if isinstance(value, list):
        return [in_digits(item, digits) for item in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def write_text(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old or the whole new content, never a part.

    Raises:
        ToolwearError: the disk has no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys; see `clean` for what becomes of NaN."""
    write_text(path, json.dumps(clean(value), indent=2, sort_keys=True, allow_nan=False) + "\n")


def read(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ToolwearError: it is not a regular file, or too long.
        ValueError: it is not JSON.
    """
    data = read_regular(path, TEXT_BYTES)
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
