"""Input and output of the exit handler."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.finish.logic import SUCCEEDED, page
from toolwear.common import jsonfile
from toolwear.common.states import State
from toolwear.common.steps import EVENTS_FOLDER
from toolwear.release import audit_log
from toolwear.release.decisions import Outcome
from toolwear.release.entries import note
from toolwear.release.tracking import Tracking
from toolwear.run.run_folder import FAILURE_FILE
from toolwear.workspace.home import Home

VALIDATE = "validate"


@dataclass(frozen=True)
class Run:
    """The run that ended.

    Attributes:
        home: the system's folder.
        model: name of the registered model.
        cause: why it was started.
        data_digest: of the recordings; empty if it was not known at the start.
    """

    home: Home
    model: str
    cause: str
    data_digest: str


def finish(state: str, failed_task: str, message: str, run: Run, output: Path) -> None:
    """Write the page that says how the run ended.

    Data that validation refused gets its entry on the audit log: that step comes from the cache,
    and does not know for which run it works.

    Args:
        state: state of the tasks before, in Kubeflow Pipelines' words.
        failed_task: the task or group that ended the run.
        message: what Kubeflow Pipelines knows of the failure; may be empty.
        run: what ended.
        output: the HTML file to write.
    """
    if state == SUCCEEDED:
        jsonfile.write_text(output, page("The run succeeded", []))
        return
    failures = _local_failures() or [
        {"step": failed_task, "reason": message or "see the log of the failed task"}
    ]
    for failure in failures:
        print(f"{failure['step']} failed: {failure.get('reason')}", flush=True)
    jsonfile.write_text(output, page("The run failed", failures))
    for failure in failures:
        # What is no defect of ours is the data's; a cluster does not tell them apart.
        if failure["step"] == VALIDATE and failure.get("user_error", True):
            why = f"{Outcome.REFUSE_DATA}: {failure['reason']}"
            note(run.home, audit_log.DECLINE, run.model, why, run.cause, run.data_digest)


def end_tracked(tracking: Tracking, state: str, message: str, page: Path) -> None:
    """End the run in MLflow on a cluster, where nobody else sees its end.

    Args:
        tracking: the MLflow run.
        state: state of the tasks before, in Kubeflow Pipelines' words.
        message: what Kubeflow Pipelines knows of the failure; may be empty.
        page: that says how the run ended.
    """
    if state == SUCCEEDED:
        tracking.end(State.SUCCEEDED, "", {})
        return
    ended = State.CANCELLED if state.startswith("CANCEL") else State.FAILED
    tracking.end(ended, message, {FAILURE_FILE: page})


def _local_failures() -> list[dict[str, Any]]:
    folder = os.environ.get(EVENTS_FOLDER)
    if not folder:
        return []
    events = [jsonfile.read(path) for path in sorted(Path(folder).glob("*.json"))]
    return [event for event in events if event["state"] == State.FAILED]
