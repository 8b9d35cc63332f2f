"""The state of a home for programs: what `toolwear status --json` prints."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolwear.cli.watching import watched
from toolwear.release import audit_log, rollout
from toolwear.release.held import waiting
from toolwear.run.comparison import told
from toolwear.run.runs import left_out, runs
from toolwear.workspace.home import MLFLOW_VARIABLE, Home

_RUNS = 10


def state_of(home: Path, monitor_url: str, alertmanager_url: str) -> dict[str, Any]:
    """Return champion, held promotions, rollout, alerts, drift and the last runs.

    Args:
        home: the system's folder.
        monitor_url: of the monitor; empty for that of the home.
        alertmanager_url: of Alertmanager; empty for that of the home.

    Returns:
        JSON values; None where there is nothing, or who would know does not answer.
    """
    from toolwear.release.registry_state import champion_state

    at_home = Home.at(home)
    now = rollout.read(at_home.root)
    return {
        "champion": champion_state(home, os.environ.get(MLFLOW_VARIABLE, "")),
        "held": [asdict(item) for item in waiting(at_home)],
        "audit_log_fault": audit_log.sentence(at_home, audit_log.read(at_home)),
        "rollout": asdict(now) if now is not None and now.running else None,
        **watched(at_home, monitor_url, alertmanager_url),
        "runs": [told(run) for run in runs(at_home)[:_RUNS]],
        "left_out": left_out(at_home),
    }
