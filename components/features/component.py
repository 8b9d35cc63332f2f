"""The features step as a Kubeflow Pipelines component."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def features(
    telemetry: Input[Dataset],
    restore_order: bool,
    window: int,
    stride: int,
    features: Output[Dataset],
) -> None:
    """Compute the features and join the training set to them by point in time.

    Args:
        telemetry: the recordings as ingested.
        restore_order: restore the time order of rows that were stored in shuffled batches.
        window: length of a trailing window, in cutting rows; 0: the data set's.
        stride: distance of two windows that become samples, in cutting rows; 0: the data set's.
        features: the feature tables, the training set and their manifest.
    """
    from pathlib import Path

    from components.features.step import features as work
    from toolwear.common.steps import run_step

    manifest = run_step(
        "features",
        work,
        telemetry=Path(telemetry.path),
        restore_order=restore_order,
        window=window,
        stride=stride,
        output=Path(features.path),
    )
    features.metadata["digest"] = manifest["digest"]
    features.metadata["rows"] = manifest["rows"]
