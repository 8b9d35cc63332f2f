"""Do the folds keep apart what their protocol promises to keep apart?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from toolwear.dataset import schema
from toolwear.evaluation.protocols import Fold, groups

_PROMISED = {
    schema.KNOWN_RUNS: "row",
    schema.NEW_RUN: "run",
    schema.NEW_SETTING: "setting",
}


def violations(protocol: str, folds: list[Fold], keys: pd.DataFrame) -> list[str]:
    """Return a sentence for each way in which the folds break the protocol's promise.

    Args:
        protocol: one of `schema.PROTOCOLS`.
        folds: its folds over the samples.
        keys: SAMPLE_ID, RUN_ID and SETTING of the samples.
    """
    what = _PROMISED[protocol]
    if protocol == schema.KNOWN_RUNS:
        group = keys[schema.SAMPLE_ID].to_numpy(dtype=str)
    else:
        group = groups(protocol, keys)
    found = []
    if keys[schema.SAMPLE_ID].duplicated().any():
        found.append(f"{protocol}: two samples have the same {schema.SAMPLE_ID}")
    if not folds:
        found.append(f"{protocol}: there is no fold")
    for fold in folds:
        if not fold.train_index.size or not fold.test_index.size:
            found.append(f"{protocol}, fold {fold.name}: one half is empty")
            continue
        shared = np.intersect1d(group[fold.train_index], group[fold.test_index])
        if shared.size:
            found.append(
                f"{protocol}, fold {fold.name}: {what} {shared[0]} is in training and in test"
                + (f", and {shared.size - 1} more" if shared.size > 1 else "")
            )
    if protocol != schema.KNOWN_RUNS and folds:
        tested = np.bincount(
            np.concatenate([fold.test_index for fold in folds]), minlength=len(keys)
        )
        if (tested != 1).any():
            found.append(f"{protocol}: {np.count_nonzero(tested != 1)} samples are not tested once")
    return found
