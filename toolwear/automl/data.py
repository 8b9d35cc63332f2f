"""Reads what the searches learn from, with the readers of the features and the split steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from toolwear.common import jsonfile
from toolwear.evaluation.protocols import Fold, folds
from toolwear.features.dataset import TRAINING_SET, Samples

SPLITS_FILE, AUDIT_FILE = "splits.parquet", "audit.json"


def read_folds(split: Path, protocol: str, samples: Samples) -> list[Fold]:
    """Return the folds of a protocol for these samples."""
    return folds(protocol, samples, pd.read_parquet(split / SPLITS_FILE))


def asked_of(split: Path) -> dict[str, str]:
    """Return by protocol the feature set of which its question is asked, as the audit found."""
    asked: dict[str, str] = jsonfile.read(split / AUDIT_FILE)["asked_of"]
    return asked


def every_row(features: Path, feature_set: str) -> np.ndarray:
    """Return every row that has all features of a set, sample or not, float64 (rows, features)."""
    columns = jsonfile.read(features / "manifest.json")["feature_sets"][feature_set]["columns"]
    frame = ds.dataset(features / TRAINING_SET, format="parquet").to_table(columns=columns)
    values = np.column_stack([frame.column(column).to_numpy() for column in columns])
    rows: np.ndarray = values[~np.isnan(values).any(axis=1)]
    return rows
