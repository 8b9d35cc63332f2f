"""Where scoring jobs are done: a process here, or a run of the scoring graph on Kubeflow Pipelines.

They have a queue and a dispatcher of their own, so that they do not wait for runs that train.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.trigger import launch
from serving.trigger.backend import Look, Other
from serving.trigger.embedded import Embedded
from serving.trigger.kfp_runs import KfpRuns
from serving.trigger.store import Run
from toolwear.common.s3 import is_bucket
from toolwear.common.states import State
from toolwear.run.kubeflow import SCORING, Kubeflow
from toolwear.run.scoring import attempts
from toolwear.workspace.home import Home

_SCORE = (sys.executable, "-m", "components.score")


class ScoringHere(Embedded):
    """Scores by the champion of a home, in a process of its own that outlives the trigger."""

    def __init__(self, home: Home) -> None:
        super().__init__(home, {}, _SCORE)

    def lacks(self, parameters: Mapping[str, Any]) -> str:
        """Return a sentence if recordings or target are to be in a folder that is not there."""
        for name in ("data", "target"):
            place = parameters[name]
            if place and not is_bucket(place) and not Path(place).is_dir():
                return f"The parameter '{name}' is {place}, and there is no such folder; mend it."
        return ""

    def cancel(self, run: Run, why: str) -> None:  # noqa: ARG002
        """Have the launcher end it."""
        launch.cancel(self._folder(run.name))

    def steps(self, name: str) -> list[Mapping[str, Any]]:  # noqa: ARG002
        """Return none: a job is one."""
        return []

    def _options(self, run: Run) -> list[str]:
        return [f"--{name}={value}" for name, value in _given(run).items()]

    def _folder(self, name: str) -> Path:
        return attempts(self._home) / name

    def _killed(self, run: Run, reason: str) -> Look:  # noqa: ARG002
        return Look(State.KILLED, reason)


class ScoringOnKfp(KfpRuns):
    """Scores by runs of the newest version of the scoring graph.

    Args:
        host: address of the API.
        token: sent as a bearer token, if not empty.
    """

    pipeline = SCORING

    def __init__(self, host: str, token: str) -> None:
        super().__init__(host, token, {})

    def others(self) -> list[Other]:
        """Return none: whoever scores there by other means does not keep a job waiting."""
        return []

    def _values(self, kubeflow: Kubeflow, run: Run) -> dict[str, Any]:  # noqa: ARG002
        return _given(run)


def _given(run: Run) -> dict[str, Any]:
    """Return what the step is given: the job's parameters, and by which name to keep what it finds.

    The tasks of a cluster have the home's volume, too.
    """
    return {**run.parameters, "job": run.name}
