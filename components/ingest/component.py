"""The ingest step as a Kubeflow Pipelines component."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def ingest(
    data: str,
    data_digest: str,
    dataset: str,
    allow_simulator: bool,
    telemetry: Output[Dataset],
    run: str = "",
    person: str = "",
    cause: str = "",
    commit: str = "",
    graph_digest: str = "",
    model_name: str = "toolwear",
    seed: int = 0,
    window: int = 0,
    stride: int = 0,
    search_seconds: int = 0,
    search_evaluations: int = 0,
    outer_folds: int = 0,
    outer_seconds: int = 0,
) -> NamedTuple("Outputs", [("rows", int), ("digest", str), ("source", str)]):  # type: ignore[valid-type]
    """Read raw run files into typed Parquet with a content digest.

    On a cluster it is the first to know of a run, and so opens the run in MLflow. What that alone
    is told has no part in what is read.

    Args:
        data: folder of recordings; empty for the Kaggle data set.
        data_digest: SHA-256 that the files must have; empty to take them as they are.
        dataset: contract that reads them, as JSON; empty for the dataset.toml beside them.
        allow_simulator: whether simulated telemetry may stand in where Kaggle is out of reach.
        telemetry: the recordings, typed.
        run: id of the run.
        person: who has started it.
        cause: why it was started.
        commit: commit of the code.
        graph_digest: digest of the compiled graph.
        model_name: name of the registered model.
        seed: parameter of the run, for MLflow as those that follow.
        window: of features, rows.
        stride: of windows, rows.
        search_seconds: budget of the main search.
        search_evaluations: the same in evaluations.
        outer_folds: parts of runs and settings that are held out by a search of their own.
        outer_seconds: budget of each such search.
    """
    from collections import namedtuple
    from pathlib import Path

    from components.ingest.step import ingest as work
    from toolwear.common.steps import run_step
    from toolwear.release.tracking import on_cluster

    tracking = on_cluster(
        run,
        model_name,
        cause,
        data_digest,
        (commit, graph_digest, person),
        seed=seed,
        window=window,
        stride=stride,
        search_seconds=search_seconds,
        search_evaluations=search_evaluations,
        outer_folds=outer_folds,
        outer_seconds=outer_seconds,
    )
    tracking.begin()
    manifest = run_step(
        "ingest",
        work,
        data=data,
        data_digest=data_digest,
        dataset=dataset,
        allow_simulator=allow_simulator,
        output=Path(telemetry.path),
    )
    tracking.note_data(Path(telemetry.path))
    telemetry.metadata["digest"] = manifest["digest"]
    telemetry.metadata["rows"] = manifest["rows"]
    outputs = namedtuple("outputs", ["rows", "digest", "source"])
    return outputs(manifest["rows"], manifest["digest"], manifest["source"]["kind"])
