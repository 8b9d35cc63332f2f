"""Input and output of the guard: data is checked before it may teach."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.guard import logic, observe, page, plots, provenance, rows, vouching
from components.guard.logic import ALL_RUNS, Finding
from components.guard.runs import RunFacts
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.common.thresholds import thresholds
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import Admission
from toolwear.features import dataset
from toolwear.release import audit_log
from toolwear.release.decisions import Outcome
from toolwear.release.entries import note
from toolwear.workspace.home import Home

RESULT, PAGE, PICTURE = "guard.json", "guard.html", "guard.png"
PASSED = "passed"


@dataclass(frozen=True)
class Asked:
    """What the run was asked to do.

    Attributes:
        data_digest: of the recordings.
        accept_runs: runs that a person vouches for, separated by commas, or ALL_RUNS.
        cause: why the run was started.
        model_name: of the registered model.
        seed: of the forest.
    """

    data_digest: str
    accept_runs: str
    cause: str
    model_name: str
    seed: int


def guard(
    telemetry: Path, features: Path, asked: Asked, home: Home, mlflow_uri: str, output: Path
) -> int:
    """Check the data and return the number of warnings.

    Writes `guard.json`, `guard.html` and `guard.png` to `output`. Data that may teach leaves its
    runs and labels in the home; data that may not leaves its evidence there, and an entry in the
    audit log.

    Args:
        telemetry: output of ingest.
        features: output of the features step.
        asked: what the run was asked to do.
        home: the system's folder.
        mlflow_uri: registry; empty for the local one.
        output: folder to make.

    Raises:
        ToolwearError: the data is held to be poisoned, or `accept_runs` names no run of it.
    """
    runs = observe.read(telemetry)
    accepted = _accepted(asked.accept_runs, runs)
    samples = dataset.load(features, schema.PUBLISHED)
    known = provenance.of_champion(home, mlflow_uri, asked.model_name)
    report(known.says)
    limits = thresholds().guard
    report(f"asking a forest whether {len(samples.y):,} labels fit their rows")
    labels = rows.inspect(
        samples,
        {run.run_id: run.label for run in runs},
        asked.seed,
        logic.recognise(runs, known.runs or (), limits),
        known.disagreement,
    )
    vouched = vouching.vouched(runs, vouching.read(home), limits)
    recorded = contract.of(telemetry)
    findings = logic.judge(runs, labels, known.runs, limits, recorded.admission, accepted, vouched)
    refusing = [finding for finding in findings if finding.refuses]
    manifest = jsonfile.read(telemetry / "manifest.json")
    result = {
        "decision": Outcome.REFUSE_POISONED if refusing else PASSED,
        "data_digest": asked.data_digest,
        "source": manifest["source"]["kind"],
        "provenance": known.says,
        "disagreement": labels.disagreement,
        "rows": sum(run.rows for run in runs),
        "judged_rows": labels.rows,
        "seed": asked.seed,
        "findings": [finding.as_json() for finding in findings],
        "runs": _by_run(runs, labels, known.runs, recorded.admission),
    }
    output.mkdir(parents=True)
    jsonfile.write(output / RESULT, result)
    plots.write(output / PICTURE, result["runs"], limits, schema.CLASSES)
    page.write(output / PAGE, result, output / PICTURE)
    if refusing:
        raise ToolwearError(_refuse(refusing, asked, home, output))
    waived = [finding for finding in findings if finding.accepted]
    if waived:
        told = " ".join(finding.sentence for finding in waived)
        _log(home, asked, audit_log.ACCEPT, f"accept_runs={asked.accept_runs}: {told}")
        names = {finding.run for finding in waived if finding.check == logic.NOBODY_VOUCHES}
        vouching.keep(home, [run for run in runs if run.run_id in names], asked.cause)
    provenance.keep(home, asked.data_digest, result["source"], runs, labels.disagreement, known)
    for finding in findings:
        report(finding.sentence)
    report(f"{len(runs)} runs may teach: {labels.disagreement:.2%} of the labels are contradicted")
    return sum(not finding.refuses for finding in findings)


def _accepted(text: str, runs: list[RunFacts]) -> set[str]:
    accepted = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(accepted - {run.run_id for run in runs} - {ALL_RUNS})
    if unknown:
        raise ToolwearError(
            f"accept_runs names run {unknown[0]}, which is not in the data; give run ids such "
            f"as {runs[0].run_id}, separated by commas, or {ALL_RUNS}."
        )
    return accepted


def _by_run(
    runs: list[RunFacts],
    labels: rows.RowFacts,
    known: list[RunFacts] | None,
    asked: Admission,
) -> list[dict[str, Any]]:
    distances = logic.level_distances(runs, known, thresholds().guard, asked)
    total = sum(run.rows for run in runs)
    return [
        {
            "run": run.run_id,
            "condition": run.condition,
            "rows": run.rows,
            "cutting_rows": run.cutting_rows,
            "share": run.rows / total,
            "contradicted": labels.per_run.get(run.run_id),
            "level_distance": distances[run.run_id].value,
            "signal": distances[run.run_id].signal,
        }
        for run in runs
    ]


def _refuse(refusing: list[Finding], asked: Asked, home: Home, output: Path) -> str:
    evidence = home.refused / asked.data_digest[:12]
    shutil.rmtree(evidence, ignore_errors=True)
    shutil.copytree(output, evidence)  # an artifact of a failed task is lost on a cluster
    more = f" (and {len(refusing) - 1} more)" if len(refusing) > 1 else ""
    why = f"{Outcome.REFUSE_POISONED}: {refusing[0].sentence}"
    _log(home, asked, audit_log.DECLINE, f"{why}{more}")
    waivable = sorted({f.run for f in refusing if f.check in logic.WAIVABLE})
    mend = "mend or leave out what it names"
    if all(f.check == logic.NOBODY_VOUCHES for f in refusing):
        named = " ".join(waivable)
        mend = f"once a person has checked the labels: toolwear vouch {named} --data FOLDER --why"
    elif all(f.check in logic.WAIVABLE for f in refusing):
        mend = f"if a person has checked it, run with --set accept_runs={','.join(waivable)}"
    return f"{why}{more} Nothing was trained; {mend}. See {evidence / PAGE}."


def _log(home: Home, asked: Asked, action: str, why: str) -> None:
    note(home, action, asked.model_name, why, asked.cause, asked.data_digest)
