"""KFP face of the deployment."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def deploy(
    package: Input[Model],
    telemetry: Input[Dataset],
    digest: str,
    version: str,
    cause: str,
    deployment: Output[Artifact],
    weights: str = "100",
    model_name: str = "toolwear",
    home: str = "",
) -> None:
    """Put the package up beside the model in service, ask it, and give it the traffic.

    Args:
        package: the model package.
        telemetry: the recordings, of which rows are asked about.
        digest: SHA-256 that names the package.
        version: of the model in the registry.
        cause: why the run was started.
        deployment: deployment.json with every question and what became of the traffic.
        weights: percent of the traffic that the new model gets, one step after the other.
        model_name: name in the URL.
        home: folder of the system's state; by default $TOOLWEAR_HOME.
    """
    from pathlib import Path

    from components.deploy.step import Request
    from components.deploy.step import deploy as work
    from toolwear.common.steps import run_step
    from toolwear.release.blue_green.target import Target
    from toolwear.workspace.home import Home

    run_step(
        "deploy",
        work,
        request=Request(
            package=Path(package.path),
            digest=digest,
            version=version,
            telemetry=Path(telemetry.path),
            model_name=model_name,
            cause=cause,
            weights=weights,
        ),
        target=Target(Home.at(home)),
        output=Path(deployment.path),
    )
