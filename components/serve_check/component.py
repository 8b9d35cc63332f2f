"""KFP face of the check of serving."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def serve_check(
    package: Input[Model],
    digest: str,
    check: Output[Artifact],
    model_name: str = "toolwear",
) -> NamedTuple("Checked", [("passed", bool)]):  # type: ignore[valid-type]
    """Serve the package as it will be served, and ask it for answers that are known.

    Args:
        package: the model package.
        digest: SHA-256 that names it.
        check: check.json with every question and answer.
        model_name: name in the URL.

    Returns:
        passed: whether every answer was right.
    """
    from pathlib import Path

    from components.serve_check.step import serve_check as work
    from toolwear.common.steps import run_step

    passed = run_step(
        "serve_check",
        work,
        package=Path(package.path),
        digest=digest,
        model_name=model_name,
        output=Path(check.path),
    )
    return (passed,)
