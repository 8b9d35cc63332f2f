"""The scoring graph: from recordings in a folder or a bucket to one verdict each."""

from kfp import dsl

from components.score.component import score
from pipelines.settings import apply
from pipelines.weight import lighten


@dsl.pipeline(
    name="toolwear-scoring",
    description="Tells of recordings whether their tool is worn, by the champion.",
)
def scoring(
    data: str, settings: str = "", dataset: str = "", target: str = "", job: str = ""
) -> None:
    """Score recordings.

    Args:
        data: Folder of recordings, or s3://bucket/prefix.
        settings: Of all of them, as feedrate=6,clamp_pressure=4; empty to take their table's.
        dataset: Contract that reads them; empty for the dataset.toml beside them, else the last's.
        target: Folder or s3://bucket/prefix that gets verdicts.parquet, too; empty for none.
        job: Name that the trigger has given, by which the home keeps verdicts and progress.
    """
    task = score(data=data, settings=settings, dataset=dataset, target=target, job=job)
    apply(task, "score")


lighten(scoring.pipeline_spec)
