"""Can wear be told from time? Not where the worn tools of a setting were all recorded last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from toolwear.common.thresholds import Audit
from toolwear.dataset import schema
from toolwear.evaluation.permutation import permute
from toolwear.evaluation.protocols import divided

_DRAWS = 1999


def design(runs: pd.DataFrame, limits: Audit, seed: int) -> dict[str, Any]:
    """Return how often, among runs of one setting, the worn one was recorded after the unworn one.

    Runs count in the order of their numbers. If the order was drawn at random, one half is
    expected; a share near 0 or 1 confounds wear with all else that changed meanwhile. The p-value,
    two-sided, is of labels permuted within settings (Phipson & Smyth 2010).

    Args:
        runs: one row a run: RUN_ID, SETTING, LABEL.
        limits: `confounded_share` and `confounded_p`.
        seed: of the permutations.

    Returns:
        `settings` that have both classes; `apart`: those in which all worn runs come after, or
        before, all others; `later`: the share; `p`; `confounded`. Share and p are None where no
        setting has both, and where labels change within recordings, which is wear over time itself.
    """
    ordered = runs.sort_values(schema.RUN_ID)
    label = ordered[schema.LABEL].to_numpy(dtype=int)
    setting = ordered[schema.SETTING].to_numpy(dtype=str)
    both = [name for name in np.unique(setting) if len(set(label[setting == name])) > 1]
    nothing = {"settings": len(both), "apart": 0, "later": None, "p": None, "confounded": False}
    if not both or divided(ordered[schema.RUN_ID].to_numpy(dtype=str)):
        return nothing
    kept = np.isin(setting, both)
    label, setting = label[kept], setting[kept]
    shares = _later(label, setting)
    share = float(np.average(shares[:, 0], weights=shares[:, 1]))
    generator = np.random.default_rng(seed)
    reached = 0
    for _ in range(_DRAWS):
        drawn = _later(permute(label, setting, generator), setting)
        there = abs(np.average(drawn[:, 0], weights=drawn[:, 1]) - 0.5)
        reached += int(there >= abs(share - 0.5) - 1e-9)
    p = (1 + reached) / (1 + _DRAWS)
    return {
        "settings": len(both),
        "apart": int(np.isin(shares[:, 0], (0.0, 1.0)).sum()),
        "later": share,
        "p": p,
        "confounded": bool(
            max(share, 1 - share) >= limits.confounded_share and p < limits.confounded_p
        ),
    }


def _later(label: np.ndarray, setting: np.ndarray) -> np.ndarray:
    """Return by setting the share of its pairs in which the worn run is later, and their number."""
    found = []
    for name in np.unique(setting):
        here = label[setting == name]
        worn = np.flatnonzero(here == 1)
        earlier = np.cumsum(here == 0)[worn].sum()
        pairs = len(worn) * (len(here) - len(worn))
        found.append((earlier / pairs, pairs))
    return np.array(found, dtype=np.float64)


def sentence(found: dict[str, Any]) -> str:
    """Return what a confounded design means; empty if it is none."""
    if not found["confounded"]:
        return ""
    when = "after" if found["later"] > 0.5 else "before"
    return (
        f"In {found['apart']} of {found['settings']} settings that have both, all worn runs were "
        f"recorded {when} all unworn ones (p = {found['p']:.2g} if the order was drawn): wear "
        "can't be told from all else that changed meanwhile. Draw the order of recordings by lot."
    )
