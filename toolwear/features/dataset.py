"""Load the samples of a feature set: the one way from the features step into any later one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.features.definitions import FEATURE_SETS

TRAINING_SET = "training_set"


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one feature set, sorted by run number and stored row.

    Attributes:
        X: features, float64, shape (n, columns).
        y: labels, 1 for worn, shape (n,).
        run: run ids, shape (n,).
        setting: names of the machine settings, shape (n,).
        frame: the key columns, n rows, index 0 to n - 1.
        columns: names of the features.
    """

    X: np.ndarray
    y: np.ndarray
    run: np.ndarray
    setting: np.ndarray
    frame: pd.DataFrame
    columns: tuple[str, ...]


def load(features: Path, feature_set: str) -> Samples:
    """Load the samples of `feature_set`; only the columns and rows that it needs are read.

    Args:
        features: output folder of the features step.
        feature_set: a key of `definitions.FEATURE_SETS`.

    Raises:
        ToolwearError: there is no such feature set, or the folder holds no training set.
    """
    if feature_set not in FEATURE_SETS:
        raise ToolwearError(
            f"There is no feature set {feature_set!r}; choose one of {', '.join(FEATURE_SETS)}."
        )
    chosen = FEATURE_SETS[feature_set]
    parts = sorted((features / TRAINING_SET).glob("part-*.parquet"))
    if not parts:
        raise ToolwearError(f"{features.name} holds no training set; run the features step.")
    table = ds.dataset(parts, format="parquet").to_table(
        columns=list(dict.fromkeys((*schema.KEY_COLUMNS, *chosen.columns))),
        filter=ds.field(chosen.samples_column),
    )
    X = np.empty((table.num_rows, len(chosen.columns)))
    for place, column in enumerate(chosen.columns):
        X[:, place] = table.column(column).to_numpy()
    frame = table.select(list(schema.KEY_COLUMNS)).to_pandas()
    return Samples(
        X=X,
        y=frame[schema.LABEL].to_numpy(dtype=np.int64),
        run=frame[schema.RUN_ID].to_numpy(dtype=str),
        setting=frame[schema.SETTING].to_numpy(dtype=str),
        frame=frame,
        columns=chosen.columns,
    )
