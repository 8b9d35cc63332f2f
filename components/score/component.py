"""The score step as a Kubeflow Pipelines component."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def score(
    data: str,
    settings: str,
    dataset: str,
    target: str,
    job: str,
    verdicts: Output[Dataset],
    home: str = "",
) -> NamedTuple("Outputs", [("recordings", int), ("faulty", int)]):  # type: ignore[valid-type]
    """Tell of each recording whether its tool is worn.

    Args:
        data: folder of recordings, or s3://bucket/prefix.
        settings: of all of them, such as feedrate=6,clamp_pressure=4; empty: as in their table.
        dataset: contract that reads them; empty: that beside them, else that of the last training.
        target: folder or s3://bucket/prefix that gets verdicts.parquet, too; empty for none.
        job: name by which the home keeps the same, and how far the step is; empty for neither.
        verdicts: one row a recording, as Parquet; what could not be scored has a fault instead.
        home: folder of the system's state; by default $TOOLWEAR_HOME.
    """
    from collections import namedtuple
    from pathlib import Path

    from components.score.step import score as work
    from toolwear.common.steps import run_step
    from toolwear.workspace.home import Home

    counts = run_step(
        "score",
        work,
        data=data,
        settings=settings,
        dataset=dataset,
        target=target,
        job=job,
        home=Home.at(home),
        output=Path(verdicts.path),
    )
    verdicts.metadata.update(counts)
    outputs = namedtuple("outputs", ["recordings", "faulty"])
    return outputs(counts["recordings"], counts["faulty"])
