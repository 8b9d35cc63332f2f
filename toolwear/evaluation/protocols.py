"""The three ways to split the rows, each an answer to another question.

- `known_runs`: the published split. 20 % of the active rows, drawn row by row, are held back, so
  that a test row's neighbours are in training: how well are the known runs remembered?
- `new_run`: one whole run is held back at a time: how well is a new run judged? Stretches of one
  recording, which are runs of their own, are held back together.
- `new_setting`: all runs of one feed rate and clamp pressure are held back at a time: how well is
  a run judged whose setting has never been seen? Here a run's twin of the same setting, which
  often has the other label, does not mislead the model either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema

TRAIN, TEST = "train", "test"
GROUPED = (schema.NEW_RUN, schema.NEW_SETTING)
SPLIT_COLUMNS = (schema.SAMPLE_ID, *schema.PROTOCOLS)

# As published: `train_test_split(test_size=0.2, random_state=0)` over the active rows of all runs
# in their order. It is a fact of the literature and does not follow the seed of a run.
_PUBLISHED_TEST_SHARE = 0.2
_PUBLISHED_RANDOM_STATE = 0


class HasFrame(Protocol):
    """Samples: anything with a frame that has the key columns, one row a sample."""

    @property
    def frame(self) -> pd.DataFrame:
        """Return the key columns of the samples."""


@dataclass(frozen=True)
class Fold:
    """One training and test half.

    Attributes:
        name: "published", the run or the setting that is held back.
        train_index: positions of the training samples, int64, ascending.
        test_index: positions of the test samples, int64, ascending.
    """

    name: str
    train_index: np.ndarray
    test_index: np.ndarray


def groups(protocol: str, keys: pd.DataFrame) -> np.ndarray:
    """Return what a protocol holds back together, recording or setting, str (n,).

    Args:
        protocol: NEW_RUN or NEW_SETTING.
        keys: RUN_ID and SETTING of n samples.
    """
    if protocol == schema.NEW_SETTING:
        return keys[schema.SETTING].to_numpy(dtype=str)
    return recordings(keys[schema.RUN_ID].to_numpy(dtype=str))


def recordings(runs: np.ndarray) -> np.ndarray:
    """Return the recording of each run, str (n,), for their keys."""
    names, index = np.unique(runs, return_inverse=True)
    found: np.ndarray = np.array([schema.recording_of(str(name)) for name in names])[index]
    return found


def divided(runs: np.ndarray) -> bool:
    """Return whether recordings are divided into runs, because labels change within them."""
    return bool((recordings(runs) != runs).any())


def assign(keys: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `splits.parquet` for the rows of the training set.

    Args:
        keys: key columns of all rows, runs in number order, rows in file order.

    Returns:
        `SPLIT_COLUMNS`, one row a sample: "train", "test" or None; the run; the setting.
    """
    active = np.flatnonzero(keys[schema.IS_ACTIVE].to_numpy(dtype=bool))
    if active.size < 2:
        raise ToolwearError(
            "No row is in a phase that is judged, so the split by rows cannot be made; check "
            "judged under [rows] in dataset.toml and the recordings' column of phases."
        )
    train, test = train_test_split(
        active, test_size=_PUBLISHED_TEST_SHARE, random_state=_PUBLISHED_RANDOM_STATE
    )
    known = np.full(len(keys), None, dtype=object)
    known[train], known[test] = TRAIN, TEST
    return pd.DataFrame(
        {
            schema.SAMPLE_ID: keys[schema.SAMPLE_ID].to_numpy(),
            schema.KNOWN_RUNS: known,
            **{name: groups(name, keys).astype(object) for name in GROUPED},
        }
    )


def folds(protocol: str, samples: HasFrame, splits: pd.DataFrame) -> list[Fold]:
    """Return the folds of a protocol as positions in `samples`.

    Args:
        protocol: one of `schema.PROTOCOLS`.
        samples: the samples of a feature set, n of them.
        splits: what `assign` returned, in any order.

    Returns:
        One fold for `known_runs`; otherwise one for each run or setting that the samples have, in
        their order. For `known_runs`, samples without a layer phase are in neither half.

    Raises:
        ToolwearError: a sample is missing in `splits`.
    """
    if protocol not in schema.PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}")
    ids = samples.frame[schema.SAMPLE_ID]
    unknown = ~ids.isin(splits[schema.SAMPLE_ID])
    if unknown.any():
        raise ToolwearError(
            f"The split does not know the sample {ids[unknown].iloc[0]}; "
            "make the split anew from these features."
        )
    names = splits.set_index(schema.SAMPLE_ID)[protocol].reindex(ids).to_numpy(dtype=object)
    if protocol == schema.KNOWN_RUNS:
        return [Fold("published", np.flatnonzero(names == TRAIN), np.flatnonzero(names == TEST))]
    return [
        Fold(str(name), np.flatnonzero(names != name), np.flatnonzero(names == name))
        for name in pd.unique(names)
    ]
