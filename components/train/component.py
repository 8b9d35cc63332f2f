"""KFP face of the training of baselines."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def train(
    features: Input[Dataset],
    split: Input[Artifact],
    seed: int,
    permutations: int,
    models: Output[Model],
) -> None:
    """Train the baselines and test whether anything beats chance on runs that are left out.

    Args:
        features: the training set.
        split: its folds.
        seed: seed of everything that draws at random.
        permutations: relabelings of whole runs in the test against chance; 0 leaves it out.
        models: ONNX graphs, out-of-fold predictions and how they were made.
    """
    from pathlib import Path

    from components.train.step import train as work
    from toolwear.common.steps import run_step

    run_step(
        "train",
        work,
        features=Path(features.path),
        split=Path(split.path),
        seed=seed,
        permutations=permutations,
        output=Path(models.path),
    )
    models.metadata["framework"] = "onnx"
