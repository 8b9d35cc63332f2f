"""How many rows count as cutting, and which limit leaves none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from toolwear.dataset.limits import limit


class CuttingTally:
    """Counts cutting rows, and what each limit leaves, batch by batch.

    Args:
        cutting: the contract's limits.
    """

    def __init__(self, cutting: Sequence[str]) -> None:
        self._limits = {text: limit(text) for text in cutting}
        self._kept = dict.fromkeys(cutting, 0)
        self._low = dict.fromkeys(cutting, np.inf)
        self._high = dict.fromkeys(cutting, -np.inf)
        self._rows = self._cutting = 0

    def count(self, batch: pa.RecordBatch) -> int:
        """Count a batch of raw columns and return its cutting rows."""
        cutting = np.ones(batch.num_rows, dtype=bool)
        for text, one in self._limits.items():
            values = batch.column(one.column).to_numpy(zero_copy_only=False)
            kept = one.holds(values)
            cutting &= kept
            self._kept[text] += int(kept.sum())
            known = values[np.isfinite(values)]
            if len(known):
                self._low[text] = min(self._low[text], known.min())
                self._high[text] = max(self._high[text], known.max())
        self._rows += batch.num_rows
        self._cutting += int(cutting.sum())
        return int(cutting.sum())

    def as_json(self) -> dict[str, Any]:
        """Return the counts for the manifest."""
        return {
            "rows": self._cutting,
            "of": self._rows,
            "limits": [
                {"limit": text, "rows": n, "low": self._low[text], "high": self._high[text]}
                for text, n in self._kept.items()
            ],
        }


def no_cutting(found: Mapping[str, Any]) -> str:
    """Return a sentence on why no row counts as cutting; empty if rows do.

    Args:
        found: as `CuttingTally.as_json` gives it.
    """
    if found["rows"]:
        return ""
    # The limits that leave least tell most.
    limits = sorted(found["limits"], key=lambda entry: entry["rows"])
    none = [entry for entry in limits if not entry["rows"]] or limits[:2]
    clauses = [
        f"{entry['limit']} holds for {entry['rows']:,} of {found['of']:,} rows"
        + (
            f" (values from {entry['low']:g} to {entry['high']:g})"
            if entry["low"] is not None and np.isfinite(entry["low"])
            else " (no values)"
        )
        for entry in none
    ]
    together = "" if any(not entry["rows"] for entry in limits) else ", and never all at once"
    return (
        f"No row counts as cutting: {'; '.join(clauses)}{together}. Set this machine's limits in "
        "cutting under [rows] in dataset.toml, or the zero of its axes under [columns.offset]."
    )
