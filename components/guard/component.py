"""KFP face of the guard."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def guard(
    telemetry: Input[Dataset],
    features: Input[Dataset],
    data_digest: str,
    seed: int,
    cause: str,
    guarded: Output[Artifact],
    accept_runs: str = "",
    model_name: str = "toolwear",
    home: str = "",
    mlflow_uri: str = "",
) -> int:
    """Check labels and recordings before they may teach; refuse what looks poisoned.

    Args:
        telemetry: the recordings.
        features: the training set.
        data_digest: SHA-256 of the recordings.
        seed: seed of the forest that the labels are held against.
        cause: why the run was started.
        guarded: folder with guard.json, guard.html and guard.png.
        accept_runs: runs that a person has checked; "all" for every one.
        model_name: name of the registered model.
        home: folder of the system's state; by default $TOOLWEAR_HOME.
        mlflow_uri: the registry; by default the local one in the home.

    Returns:
        The number of warnings; what is critical stops the run here.
    """
    from pathlib import Path

    from components.guard.step import Asked
    from components.guard.step import guard as work
    from toolwear.common.steps import run_step
    from toolwear.release.tracking import in_step
    from toolwear.workspace.home import Home

    tracking = in_step(Home.at(home), mlflow_uri, model_name)
    tracking.note_data(Path(telemetry.path))
    return run_step(
        "guard",
        work,
        telemetry=Path(telemetry.path),
        features=Path(features.path),
        asked=Asked(data_digest, accept_runs, cause, model_name, seed),
        home=Home.at(home),
        mlflow_uri=mlflow_uri,
        output=Path(guarded.path),
    )
