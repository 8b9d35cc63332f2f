"""KFP face of the automatic search."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from toolwear.common import images


@dsl.component(base_image=images.AUTOML, install_kfp_package=False)
def automl(
    features: Input[Dataset],
    split: Input[Artifact],
    seed: int,
    seconds: int,
    evaluations: int,
    memory_mb: int,
    cores: int,
    dask: str,
    outer_folds: int,
    outer_seconds: int,
    automl: Output[Model],
) -> None:
    """Search for an ensemble with auto-sklearn and export it as one ONNX graph.

    Args:
        features: the training set.
        split: its folds.
        seed: seed of everything that draws at random.
        seconds: budget of the main search, seconds.
        evaluations: budget of each search in evaluations, for repeatable runs; 0: by time.
        memory_mb: memory limit of one search, MiB.
        cores: processes that may compute at a time.
        dask: scheduler whose workers try the main search's models; empty: none.
        outer_folds: parts into which runs, and settings, are shared out; each is held out by a
            search of its own. 0: each run is a part; 1: a single run is held out.
        outer_seconds: budget of each such search, seconds.
        automl: the graph, the predictions on held-out rows, and what the search has tried.
    """
    from pathlib import Path

    from components.automl.launch import automl as work
    from toolwear.common import jsonfile
    from toolwear.common.steps import run_step

    output = Path(automl.path)
    run_step(
        "automl",
        work,
        features=Path(features.path),
        split=Path(split.path),
        output=output,
        seed=seed,
        seconds=seconds,
        evaluations=evaluations,
        memory_mb=memory_mb,
        cores=cores,
        dask=dask,
        outer_folds=outer_folds,
        outer_seconds=outer_seconds,
    )
    automl.metadata["framework"] = "onnx"
    automl.metadata["sha256"] = jsonfile.read(output / "export.json")["sha256"]
