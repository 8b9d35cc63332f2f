"""KFP face of the promotion."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def promote(
    decision: Input[Artifact],
    registration: Input[Artifact],
    check: Input[Artifact],
    cause: str,
    promotion: Output[Artifact],
    telemetry: Input[Dataset] = None,
    rollout: str = "direct",
    approval: bool = False,
    weights: str = "100",
    home: str = "",
    mlflow_uri: str = "",
) -> NamedTuple("Promoted", [("outcome", str)]):  # type: ignore[valid-type]
    """Make the registered version the champion or its candidate, or hold it for a person.

    Args:
        decision: what was decided.
        registration: the registered version and its package.
        check: answers of the served model.
        cause: why the run was started.
        promotion: promotion.json, the entry of the audit log.
        telemetry: the recordings, of which a held model is asked before a cluster serves it.
        rollout: "direct", "canary" or "shadow"; a first champion needs no rollout.
        approval: hold it until a person allows or refuses.
        weights: percent of a cluster's traffic that it gets once allowed, step by step.
        home: folder of the system's state; by default $TOOLWEAR_HOME.
        mlflow_uri: the registry; by default the local one in the home.

    Returns:
        outcome: what was done, one of `toolwear.release.outcomes.Promotion`.
    """
    from pathlib import Path

    from components.promote.step import promote as work
    from toolwear.common.steps import run_step
    from toolwear.workspace.home import Home

    outcome = run_step(
        "promote",
        work,
        decision=Path(decision.path),
        registration=Path(registration.path),
        check=Path(check.path),
        cause=cause,
        home=Home.at(home),
        mlflow_uri=mlflow_uri,
        output=Path(promotion.path),
        rollout=rollout,
        approval=approval,
        telemetry=Path(telemetry.path) if telemetry else None,
        weights=weights,
    )
    return (outcome.value,)
