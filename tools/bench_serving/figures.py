"""What is computed from measured times: pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CPU_RATIO = 1.8  # the predictor's CPU time for one row, at most this many times the plain server's
CHAIN_RATIO = 4.0  # the whole chain's p50, at most this many times the direct call's
SHAP_MS = 15.0  # p50 of an explanation by SHAP, under this


@dataclass(frozen=True)
class Load:
    """One burst of requests against one server.

    Attributes:
        latencies_ms: of each request, as its client saw it.
        seconds: from the first request to the last answer.
        cpu_seconds: user and system, of all processes of the server, meanwhile.
    """

    latencies_ms: Sequence[float]
    seconds: float
    cpu_seconds: float

    @property
    def cpu_ms(self) -> float:
        """CPU time of the server for one request, ms."""
        return 1000 * self.cpu_seconds / len(self.latencies_ms)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` per cent of the values do not exceed.

    Raises:
        ValueError: there are no values, or `percent` is not in (0, 100].
    """
    if not values or not 0 < percent <= 100:
        raise ValueError(f"no {percent}th percentile of {len(values)} values")
    return sorted(values)[math.ceil(percent / 100 * len(values)) - 1]


def summary(loads: Sequence[Load]) -> dict[str, float]:
    """Return the figures of one server over its rounds.

    Percentiles are of all requests together; rates are medians over the rounds.
    """
    together = [value for load in loads for value in load.latencies_ms]
    return {
        "requests": len(together),
        "p50_ms": percentile(together, 50),
        "p99_ms": percentile(together, 99),
        "requests_per_second": statistics.median(
            len(load.latencies_ms) / load.seconds for load in loads
        ),
        "cpu_ms": statistics.median(load.cpu_ms for load in loads),
    }


def cpu_ratio(loads: Sequence[Load], base: Sequence[Load]) -> dict[str, float]:
    """Return CPU per request against another server: median, least and most over the rounds.

    Rounds are paired, for what else the machine does changes from one to the next.
    """
    return _spread(
        "cpu_ratio",
        [load.cpu_ms / other.cpu_ms for load, other in zip(loads, base, strict=True)],
    )


def chain_ratio(loads: Sequence[Load], base: Sequence[Load]) -> dict[str, float]:
    """Return p50 against the direct call's in the same way."""
    return _spread(
        "chain_ratio",
        [
            percentile(load.latencies_ms, 50) / percentile(other.latencies_ms, 50)
            for load, other in zip(loads, base, strict=True)
        ],
    )


def _spread(name: str, ratios: Sequence[float]) -> dict[str, float]:
    return {
        name: statistics.median(ratios),
        f"{name}_least": min(ratios),
        f"{name}_most": max(ratios),
    }


def targets(found: Mapping[str, float]) -> list[dict[str, object]]:
    """Compare what was found with what is to be reached.

    Args:
        found: any of "cpu_ratio", "chain_ratio" and "shap_p50_ms".
    """
    limits = {
        "cpu_ratio": ("CPU of the predictor for one row against plain, 1 client", CPU_RATIO),
        "chain_ratio": ("p50 of the whole chain against the direct call", CHAIN_RATIO),
        "shap_p50_ms": ("p50 of an explanation by SHAP, ms", SHAP_MS),
    }
    return [
        {
            "name": name,
            "value": found[key],
            "limit": limit,
            # "under" the one, "at most" the others
            "reached": found[key] < limit if key == "shap_p50_ms" else found[key] <= limit,
        }
        for key, (name, limit) in limits.items()
        if key in found
    ]
