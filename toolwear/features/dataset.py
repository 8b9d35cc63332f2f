"""Load the samples of a feature set: the one way from the features step into any later one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema

TRAINING_SET = "training_set"


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one feature set, sorted by run number and stored row.

    Attributes:
        X: features, float64, shape (n, columns).
        y: labels, 1 for worn, shape (n,).
        run: run ids, shape (n,).
        setting: names of the machine settings, shape (n,).
        settings: their values in the order of the contract, float64 (n, settings).
        setting_names: what each of these is called.
        frame: the key columns, n rows, index 0 to n - 1.
        columns: names of the features.
        of_windows: whether samples are trailing windows rather than single rows.
    """

    X: np.ndarray
    y: np.ndarray
    run: np.ndarray
    setting: np.ndarray
    settings: np.ndarray
    setting_names: tuple[str, ...]
    frame: pd.DataFrame
    columns: tuple[str, ...]
    of_windows: bool = False

    @property
    def elapsed(self) -> np.ndarray:
        """Seconds since the first sample of the same recording, float64 (n,)."""
        recording = [schema.recording_of(run) for run in self.run.tolist()]
        times = self.frame[schema.EVENT_TIME]
        since: np.ndarray = (
            (times - times.groupby(recording).transform("min")).dt.total_seconds().to_numpy()
        )
        return since


def names(features: Path) -> tuple[str, ...]:
    """Return the names of the feature sets that an output of the features step has.

    Raises:
        ToolwearError: the folder is none.
    """
    return tuple(_about(features)["feature_sets"])


def load(features: Path, feature_set: str) -> Samples:
    """Load the samples of `feature_set`; only the columns and rows that it needs are read.

    Args:
        features: output folder of the features step.
        feature_set: one of those that the data set's contract names.

    Raises:
        ToolwearError: there is no such feature set, or the folder holds no training set.
    """
    # Not from the contract: the AutoML environment reads it, too, and has no pydantic.
    about = _about(features)
    keys, sets = about["keys"], about["feature_sets"]
    if feature_set not in sets:
        raise ToolwearError(
            f"There is no feature set {feature_set!r}; choose one of {', '.join(sets)}."
        )
    chosen = sets[feature_set]
    columns = tuple(chosen["columns"])
    parts = sorted((features / TRAINING_SET).glob("part-*.parquet"))
    if not parts:
        raise _no_training_set(features)
    table = ds.dataset(parts, format="parquet").to_table(
        columns=list(dict.fromkeys((*keys, *columns))), filter=ds.field(chosen["samples"])
    )
    X = np.empty((table.num_rows, len(columns)))
    for place, column in enumerate(columns):
        X[:, place] = table.column(column).to_numpy()
    frame = table.select(keys).to_pandas()
    stated = tuple(one["name"] for one in about["dataset"]["settings"])
    return Samples(
        X=X,
        y=frame[schema.LABEL].to_numpy(dtype=np.int64),
        run=frame[schema.RUN_ID].to_numpy(dtype=str),
        setting=frame[schema.SETTING].to_numpy(dtype=str),
        settings=frame[list(stated)].to_numpy(dtype=np.float64),
        setting_names=stated,
        frame=frame,
        columns=columns,
        of_windows=chosen["samples"] == schema.IS_WINDOW,
    )


def _about(features: Path) -> dict[str, Any]:
    manifest = features / "manifest.json"
    about: dict[str, Any] = jsonfile.read(manifest) if manifest.is_file() else {}
    if "feature_sets" not in about:  # nor has what an earlier version made
        raise _no_training_set(features)
    return about


def _no_training_set(features: Path) -> ToolwearError:
    return ToolwearError(f"{features.name} holds no training set; run the features step.")
