"""KFP face of the registration."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def register(
    evaluation: Input[Artifact],
    explanation: Input[Artifact],
    split: Input[Artifact],
    features: Input[Dataset],
    automl: Input[Model],
    decision: Input[Artifact],
    data_digest: str,
    commit: str,
    graph_digest: str,
    seed: int,
    cause: str,
    registration: Output[Artifact],
    package: Output[Model],
    model_name: str = "toolwear",
    home: str = "",
    mlflow_uri: str = "",
    run: str = "",
) -> NamedTuple("Registered", [("version", str), ("digest", str)]):  # type: ignore[valid-type]
    """Register the challenger with its card, its lineage and its content-addressed package.

    Args:
        evaluation: figures of every model, golden rows, abstention.
        explanation: explanations and their quality.
        split: the splits and the leakage audit.
        features: the training set.
        automl: the challenger.
        decision: what was decided.
        data_digest: SHA-256 of the recordings.
        commit: commit of the code.
        graph_digest: digest of the compiled graph.
        seed: seed of the run.
        cause: why the run was started.
        registration: registration.json.
        package: copy of the model package; its address is what KServe serves from.
        model_name: name of the registered model.
        home: folder of the system's state; by default $TOOLWEAR_HOME.
        mlflow_uri: the registry; by default the local one in the home.
        run: id of the run, on a cluster.

    Returns:
        version: number of the registered version.
        digest: SHA-256 that names the package.
    """
    from pathlib import Path

    from components.register.contents import Folders, Lineage
    from components.register.step import register as work
    from toolwear.common.steps import run_step
    from toolwear.release.tracking import in_step
    from toolwear.workspace.home import Home

    registered = run_step(
        "register",
        work,
        folders=Folders(
            evaluation=Path(evaluation.path),
            explanation=Path(explanation.path),
            split=Path(split.path),
            features=Path(features.path),
            automl=Path(automl.path),
            decision=Path(decision.path),
        ),
        lineage=Lineage(commit, data_digest, graph_digest, seed, cause),
        model_name=model_name,
        home=Home.at(home),
        mlflow_uri=mlflow_uri,
        output=Path(registration.path),
        package_output=Path(package.path),
        tracking=in_step(Home.at(home), mlflow_uri, model_name, run, cause=cause, commit=commit),
    )
    package.metadata["digest"] = registered.digest
    package.metadata["version"] = registered.version
    return (registered.version, registered.digest)
