"""Input and output of the split."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds

from components.split.audit_plots import draw
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.common.thresholds import thresholds
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import DataSet, key_columns
from toolwear.evaluation.audit.logic import audit
from toolwear.evaluation.protocols import assign
from toolwear.features.dataset import TRAINING_SET, load, names

SPLITS_FILE, AUDIT_FILE, PLOTS_FOLDER = "splits.parquet", "audit.json", "plots"


def split(telemetry: Path, features: Path, seed: int, output: Path) -> str:
    """Write the folds and the audit, and return "clean" or "restricted".

    Args:
        telemetry: output folder of the ingest step.
        features: output folder of the features step.
        seed: seed of the audit; the published split has its own.
        output: folder to make, with `splits.parquet`, `audit.json` and `plots/`.

    Raises:
        ToolwearError: the inputs do not belong together, or a protocol does not separate.
    """
    dataset = contract.of(features)
    keys = _keys(features, dataset)
    rows = _with_signals(keys, telemetry, dataset)
    feature_sets = {name: load(features, name) for name in names(features)}
    splits = assign(keys)
    found = audit(rows, feature_sets, splits, seed, thresholds(), dataset)
    for protocol, reason in found["left_out"].items():
        report(f"{protocol} is left out: {reason}")
    for sentence in found["findings"]:
        report(sentence)
    output.mkdir(parents=True)
    splits.to_parquet(output / SPLITS_FILE, index=False)
    jsonfile.write(output / AUDIT_FILE, found)
    draw(found, rows, output / PLOTS_FOLDER)
    return str(found["status"])


def _keys(features: Path, dataset: DataSet) -> pd.DataFrame:
    parts = sorted((features / TRAINING_SET).glob("part-*.parquet"))
    if not parts:
        raise ToolwearError(f"{features.name} holds no training set; run the features step.")
    table = ds.dataset(parts, format="parquet").to_table(columns=list(key_columns(dataset)))
    keys: pd.DataFrame = table.to_pandas()
    return keys


def _with_signals(keys: pd.DataFrame, telemetry: Path, dataset: DataSet) -> pd.DataFrame:
    """Return the key columns with every recorded column of their rows."""
    parts = sorted(telemetry.glob("part-*.parquet"))
    if not parts:
        raise ToolwearError(f"{telemetry.name} holds no telemetry; run the ingest step.")
    columns = [schema.RUN_ID, schema.ROW, *dataset.numbers]
    signals = ds.dataset(parts, format="parquet").to_table(columns=columns).to_pandas()
    rows = keys.merge(
        signals, on=[schema.RUN_ID, schema.ROW], how="inner", validate="one_to_one", sort=False
    )
    if not len(rows) == len(keys) == len(signals):
        raise ToolwearError(
            f"The features ({len(keys):,} rows) do not belong to this telemetry "
            f"({len(signals):,} rows); compute them anew from it."
        )
    return rows
