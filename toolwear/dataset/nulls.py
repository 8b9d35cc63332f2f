"""Spellings of a missing number."""

from __future__ import annotations

# Compared without white space around them and in lower case.
_WORDS = (
    *("nan", "+nan", "-nan", "na", "n/a", "n.a.", "<na>", "null", "none", "nil", "nat", "missing"),
    *("-", "--", "?", "#", "."),
    *("#n/a", "#na", "#nv", "#value!", "#div/0!", "#num!", "#ref!", "#name?", "#null!", "#wert!"),
    *("1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind", "1.#snan", "1.#nan", "-1.#nan"),
)
NULLS = frozenset({"", *_WORDS})
# For a reader that compares byte by byte; what it does not know goes through `is_null`.
SPELLINGS = tuple(
    sorted({form for w in NULLS for form in (w, w.upper(), w.title(), w.capitalize())} | {"NaN"})
)


def is_null(cell: str) -> bool:
    """Tell whether a cell says that there is no number."""
    return cell.strip().lower() in NULLS
