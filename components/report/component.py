"""KFP face of the report."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from toolwear.common import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def report(
    telemetry: Input[Dataset],
    validation: Input[Artifact],
    split: Input[Artifact],
    automl: Input[Model],
    evaluation: Input[Artifact],
    explanation: Input[Artifact],
    decision: Input[Artifact],
    registration: Input[Artifact],
    check: Input[Artifact],
    outcome: str,
    commit: str,
    graph_digest: str,
    seed: int,
    page: Output[HTML],
    summary: Output[Artifact],
    run: str = "",
) -> None:
    """Write the report of the run: one page for a person, one machine-readable JSON file.

    Args:
        telemetry: the recordings as read.
        validation: result of the checks of the recordings.
        split: the splits and the leakage audit.
        automl: the challenger and how it was searched for.
        evaluation: figures of every model.
        explanation: explanations and their quality.
        decision: what was decided, and the evidence.
        registration: the registered version and its package.
        check: answers of the served model.
        outcome: what was done about the champion.
        commit: commit of the code.
        graph_digest: digest of the compiled graph.
        seed: seed of the run.
        page: the page.
        summary: the JSON file; its schema is that of `components.report.summary`.
        run: id of the run, on a cluster.
    """
    from pathlib import Path

    from components.report.step import Folders
    from components.report.step import report as work
    from toolwear.common.steps import run_step
    from toolwear.release.tracking import on_cluster
    from toolwear.run.run_folder import REPORT_FILE, SUMMARY_FILE

    folders = Folders(
        telemetry=Path(telemetry.path),
        validation=Path(validation.path),
        split=Path(split.path),
        automl=Path(automl.path),
        evaluation=Path(evaluation.path),
        explanation=Path(explanation.path),
        decision=Path(decision.path),
        registration=Path(registration.path),
        check=Path(check.path),
    )
    run_step(
        "report",
        work,
        folders=folders,
        outcome=outcome,
        lineage={"commit": commit, "graph_digest": graph_digest, "seed": seed},
        page=Path(page.path),
        summary=Path(summary.path),
    )
    files = {REPORT_FILE: Path(page.path), SUMMARY_FILE: Path(summary.path)}
    on_cluster(run, "").attach(files)
