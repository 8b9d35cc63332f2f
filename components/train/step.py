"""Input and output of the training of baselines."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from components.train.logic import train_all
from toolwear.common import jsonfile
from toolwear.common.thresholds import thresholds
from toolwear.features.dataset import load, names

PREDICTIONS, TRAINING = "predictions.parquet", "training.json"
_SPLITS = "splits.parquet"


def train(features: Path, split: Path, seed: int, permutations: int, output: Path) -> None:
    """Train the baselines and write graphs, predictions and `training.json` below `output`.

    Args:
        features: output of the features step.
        split: output of the split step.
        seed: of everything that draws at random.
        permutations: relabelings of whole runs in the test against chance.
        output: folder to make.
    """
    sets = {name: load(features, name) for name in names(features)}
    splits = pd.read_parquet(split / _SPLITS)
    trained = train_all(sets, splits, seed, permutations, thresholds().export)
    output.mkdir(parents=True)
    for name, graph in trained.graphs.items():
        path = output / f"{name}.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(graph)
    trained.predictions.to_parquet(output / PREDICTIONS, index=False)
    jsonfile.write(output / TRAINING, trained.training)
