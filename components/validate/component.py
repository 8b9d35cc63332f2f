"""The KFP face of the validate step."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def validate(telemetry: Input[Dataset], validation: Output[Artifact]) -> int:
    """Check the telemetry and the table of runs with Great Expectations; refuse broken data.

    Args:
        telemetry: Folder written by ingest: telemetry and table of runs as Parquet.
        validation: Folder with result.json, report.html, data_docs and, for data that is
            refused, failing_rows.csv.

    Returns:
        The number of warnings; they travel on, a critical failure stops the run here.
    """
    from pathlib import Path

    from components.validate.step import validate as work
    from toolwear.common.steps import run_step

    return run_step("validate", work, telemetry=Path(telemetry.path), output=Path(validation.path))
