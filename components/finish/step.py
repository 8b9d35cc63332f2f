"""Input and output of the exit handler."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from components.core import jsonfile
from components.core.steps import EVENTS_FOLDER
from components.finish.logic import SUCCEEDED, page


def finish(state: str, failed_task: str, message: str, output: Path) -> None:
    """Write the page that says how the run ended.

    Args:
        state: state of the tasks before, in Kubeflow Pipelines' words.
        failed_task: the task or group that ended the run.
        message: what Kubeflow Pipelines knows of the failure; may be empty.
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


def _local_failures() -> list[dict[str, Any]]:
    folder = os.environ.get(EVENTS_FOLDER)
    if not folder:
        return []
    events = [jsonfile.read(path) for path in sorted(Path(folder).glob("*.json"))]
    return [event for event in events if event["state"] == "failed"]
