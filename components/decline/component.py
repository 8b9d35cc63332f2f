"""KFP face of the branch on which the champion stays."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def decline(
    decision: Input[Artifact],
    registration: Input[Artifact],
    check: Input[Artifact],
    cause: str,
    declined: Output[Artifact],
    home: str = "",
) -> NamedTuple("Declined", [("outcome", str)]):  # type: ignore[valid-type]
    """Leave the champion as it is, say why, and put it on the audit log.

    Args:
        decision: what was decided.
        registration: the registered version and its package.
        check: answers of the served model.
        cause: why the run was started.
        declined: declined.json, the entry of the audit log.
        home: folder of the system's state; by default $TOOLWEAR_HOME.

    Returns:
        outcome: why the challenger did not become champion: the decision, or "serve_check_failed".
    """
    from pathlib import Path

    from components.decline.step import decline as work
    from toolwear.common.steps import run_step
    from toolwear.workspace.home import Home

    outcome = run_step(
        "decline",
        work,
        decision=Path(decision.path),
        registration=Path(registration.path),
        check=Path(check.path),
        cause=cause,
        home=Home.at(home),
        output=Path(declined.path),
    )
    return (outcome,)
