"""KFP face of the explanations."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def explain(
    features: Input[Dataset],
    split: Input[Artifact],
    automl: Input[Model],
    seed: int,
    rows: int,
    explanation: Output[Artifact],
    page: Output[HTML],
) -> None:
    """Explain the challenger with SHAP, LIME, anchors, ICE, PDP and a surrogate tree.

    Args:
        features: the training set.
        split: its folds.
        automl: the challenger.
        seed: seed of everything that draws at random.
        rows: predictions explained one by one.
        explanation: envelope of each method with its quality, findings and plots.
        page: the same for a person.
    """
    from pathlib import Path

    from components.explain.step import explain as work
    from toolwear.common.steps import run_step

    run_step(
        "explain",
        work,
        features=Path(features.path),
        split=Path(split.path),
        automl=Path(automl.path),
        seed=seed,
        rows=rows,
        output=Path(explanation.path),
        page=Path(page.path),
    )
