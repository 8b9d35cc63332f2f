"""Attacks on labels: which rows get the wrong one."""

from __future__ import annotations

import numpy as np

from toolwear.features.dataset import Samples

NONE = "none"
RANDOM, TARGETED = "random rows", "worn rows called unworn"
WHOLE_RUNS, NEW_RUNS = "whole runs", "whole runs that the champion does not know"
ATTACKS = (RANDOM, TARGETED, WHOLE_RUNS, NEW_RUNS)
BY_RUN = (WHOLE_RUNS, NEW_RUNS)


def flipped(samples: Samples, attack: str, share: float, seed: int) -> np.ndarray:
    """Return which labels are flipped, bool (rows,).

    Args:
        samples: clean.
        attack: one of `ATTACKS`, or NONE.
        share: of all rows; of the worn rows for `TARGETED`. Whole runs are drawn until their rows
            are the share or just above it.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    chosen = np.zeros(len(samples.y), dtype=bool)
    if attack == NONE:
        return chosen
    if attack in BY_RUN:
        for run in random.permutation(np.unique(samples.run)):
            if chosen.mean() >= share:
                break
            chosen |= samples.run == run
        return chosen
    candidates = np.flatnonzero(samples.y == 1) if attack == TARGETED else np.arange(len(samples.y))
    drawn = random.choice(candidates, round(share * len(candidates)), replace=False)
    chosen[drawn] = True
    return chosen
