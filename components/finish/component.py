"""KFP face of the exit handler."""

from kfp import dsl
from kfp.dsl import HTML, Output, PipelineTaskFinalStatus

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def finish(
    status: PipelineTaskFinalStatus,
    outcome: Output[HTML],
    cause: str = "",
    model_name: str = "toolwear",
    data_digest: str = "",
    home: str = "",
    run: str = "",
) -> None:
    """Say how the run ended; for a failed one, which step failed, why, and what to do.

    Args:
        status: how the tasks before ended; given by Kubeflow Pipelines.
        outcome: a page for a person.
        cause: why the run was started.
        model_name: name of the registered model.
        data_digest: of the recordings, as far as it was known at the start.
        home: folder of the system's state; by default $TOOLWEAR_HOME.
        run: id of the run, on a cluster.
    """
    from pathlib import Path

    from components.finish.step import Run, end_tracked
    from components.finish.step import finish as work
    from toolwear.common.steps import run_step
    from toolwear.release.tracking import on_cluster
    from toolwear.workspace.home import Home

    run_step(
        "finish",
        work,
        state=status.state,
        failed_task=status.pipeline_task_name,
        message=status.error_message,
        run=Run(Home.at(home), model_name, cause, data_digest),
        output=Path(outcome.path),
    )
    tracking = on_cluster(run, model_name, cause, data_digest)
    end_tracked(tracking, status.state, status.error_message, Path(outcome.path))
