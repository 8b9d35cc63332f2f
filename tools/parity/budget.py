"""How much a run does that is held against another."""

from __future__ import annotations

from typing import Any

# Everything real, and as small as it goes; by evaluations, since a search by seconds finds what
# the machine has time for.
BUDGET: dict[str, Any] = {
    "permutations": 5,
    "search_evaluations": 2,
    "explain_rows": 2,
    "outer_folds": 1,
}


def settings() -> list[str]:
    """Return the budget as options of the command line."""
    return [f"{name}={value}" for name, value in BUDGET.items()]
