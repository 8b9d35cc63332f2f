"""The limits that panels draw: those of the alert rules, read from the rules themselves."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from tools.operator_rules import RULES, groups
from toolwear.common.errors import ToolwearError

_LIMIT = re.compile(r">=?\s*(\d+(?:\.\d+)?(?:\s*\*\s*\d+(?:\.\d+)?)*)")


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Return the alert rules by their name, in the order of their files."""
    return {rule["alert"]: rule for group in groups() for rule in group["rules"] if "alert" in rule}


def factors(alert: str) -> tuple[float, ...]:
    """Return the factors of the first limit of an alert rule, such as 14.4 and 0.005.

    Raises:
        ToolwearError: there is no such alert, or it has no limit.
    """
    rule = alerts().get(alert)
    found = _LIMIT.search(rule["expr"]) if rule else None
    if found is None:
        raise ToolwearError(f"No alert rule named {alert} has a limit; see {RULES}.")
    return tuple(float(factor) for factor in found[1].split("*"))


def limit(alert: str) -> float:
    """Return the first limit of an alert rule, in the unit of its expression."""
    return math.prod(factors(alert))


# Share of the predictions that may fail, and how many times as fast the two alerts let it be used.
FAST, BUDGET = factors("ToolwearErrorBudgetBurnsFast")
SLOW = factors("ToolwearErrorBudgetBurnsSlowly")[0]
