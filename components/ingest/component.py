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
) -> NamedTuple("Outputs", [("rows", int), ("digest", str), ("source", str)]):  # type: ignore[valid-type]
    """Read raw run files into typed Parquet with a content digest.

    Args:
        data: folder of recordings; empty for the Kaggle data set.
        data_digest: SHA-256 that the files must have; empty to take them as they are.
        dataset: contract that reads them, as JSON; empty for the dataset.toml beside them.
        allow_simulator: whether simulated telemetry may stand in where Kaggle is out of reach.
        telemetry: the recordings, typed.
    """
    from collections import namedtuple
    from pathlib import Path

    from components.ingest.step import ingest as work
    from toolwear.common.steps import run_step

    manifest = run_step(
        "ingest",
        work,
        data=data,
        data_digest=data_digest,
        dataset=dataset,
        allow_simulator=allow_simulator,
        output=Path(telemetry.path),
    )
    telemetry.metadata["digest"] = manifest["digest"]
    telemetry.metadata["rows"] = manifest["rows"]
    outputs = namedtuple("outputs", ["rows", "digest", "source"])
    return outputs(manifest["rows"], manifest["digest"], manifest["source"]["kind"])
