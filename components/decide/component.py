"""KFP face of the decision."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def decide(
    evaluation: Input[Artifact],
    explanation: Input[Artifact],
    split: Input[Artifact],
    validation: Input[Artifact],
    features: Input[Dataset],
    automl: Input[Model],
    data_digest: str,
    seed: int,
    decision: Output[Artifact],
    cause: str = "",
    model_name: str = "toolwear",
    home: str = "",
    mlflow_uri: str = "",
) -> NamedTuple("Decided", [("promotes", bool), ("word", str)]):  # type: ignore[valid-type]
    """Judge challenger against champion on the same rows, today, and say what for it may be used.

    Args:
        evaluation: figures of every model.
        explanation: explanations and their quality.
        split: the splits and the leakage audit.
        validation: result of the checks of the recordings.
        features: the training set.
        automl: the challenger.
        data_digest: SHA-256 of the recordings.
        seed: seed of the bootstrap.
        decision: decision.json and a picture.
        cause: why the run was started.
        model_name: name of the registered model.
        home: folder of the system's state; by default $TOOLWEAR_HOME.
        mlflow_uri: the registry; by default the local one in the home.

    Returns:
        promotes: whether the challenger becomes champion if it can be served.
        word: the decision, one of `toolwear.release.decisions.Outcome`.
    """
    from pathlib import Path

    from components.decide.evidence import Folders
    from components.decide.step import decide as work
    from toolwear.common.steps import run_step
    from toolwear.workspace.home import Home

    outcome = run_step(
        "decide",
        work,
        folders=Folders(
            evaluation=Path(evaluation.path),
            explanation=Path(explanation.path),
            split=Path(split.path),
            validation=Path(validation.path),
            features=Path(features.path),
            automl=Path(automl.path),
        ),
        home=Home.at(home),
        mlflow_uri=mlflow_uri,
        model_name=model_name,
        data_digest=data_digest,
        cause=cause,
        seed=seed,
        output=Path(decision.path),
    )
    return (outcome.promotes, outcome.value)
