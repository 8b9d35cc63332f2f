"""KFP face of the evaluation."""

from kfp import dsl
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def evaluate(
    features: Input[Dataset],
    split: Input[Artifact],
    models: Input[Model],
    automl: Input[Model],
    data_digest: str,
    seed: int,
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    roc: Output[ClassificationMetrics],
    confusion: Output[ClassificationMetrics],
) -> None:
    """Measure every model with its interval, and what the challenger does beside being right.

    Args:
        features: the training set.
        split: its folds and the audit.
        models: the baselines' predictions and the test against chance.
        automl: the challenger and its predictions.
        data_digest: SHA-256 of the recordings: published figures stand beside theirs only.
        seed: seed of bootstraps and noise.
        evaluation: figures, the rule for saying "not sure", golden rows and pictures.
        metrics: the main figures of the challenger.
        roc: its ROC curve on rows held back.
        confusion: its confusion matrix there.
    """
    from pathlib import Path

    from components.evaluate.kubeflow import show
    from components.evaluate.step import evaluate as work
    from toolwear.common.steps import run_step

    found = run_step(
        "evaluate",
        work,
        features=Path(features.path),
        split=Path(split.path),
        models=Path(models.path),
        automl=Path(automl.path),
        data_digest=data_digest,
        seed=seed,
        output=Path(evaluation.path),
    )
    show(found, Path(automl.path), metrics, roc, confusion)
