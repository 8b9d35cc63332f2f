"""KFP face of the split."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def split(
    telemetry: Input[Dataset],
    features: Input[Dataset],
    seed: int,
    split: Output[Artifact],
) -> str:
    """Split the rows three ways and search data and features for leaks; "clean" or "restricted".

    Args:
        telemetry: the recordings as ingested.
        features: the training set made of them.
        seed: seed of the audit's permutations, samples and forests; not of the published split.
        split: the folds, what the audit found, and its figures.
    """
    from pathlib import Path

    from components.split.step import split as work
    from toolwear.common.steps import run_step

    return run_step(
        "split",
        work,
        telemetry=Path(telemetry.path),
        features=Path(features.path),
        seed=seed,
        output=Path(split.path),
    )
