"""Where scoring jobs are done: a process here, or a run of the scoring graph on Kubeflow Pipelines.

They have a queue and a dispatcher of their own, so that they do not wait for runs that train.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from serving.trigger import launch
from serving.trigger.backend import Backend, Look, Other
from serving.trigger.embedded import Embedded
from serving.trigger.kfp_runs import KfpRuns
from serving.trigger.store import Run
from toolwear.common.files import read_end
from toolwear.common.s3 import is_bucket
from toolwear.common.states import State
from toolwear.run.kubeflow import SCORING, Kubeflow
from toolwear.workspace.home import Home

_SCORE = (sys.executable, "-m", "components.score")
_LINE = re.compile(r"^  (?:(\d+) of (\d+): )?(.*)$", re.MULTILINE)  # as the step reports
_LOG_BYTES = 64 << 10  # of its end, in which the newest lines are


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        done: recordings that are scored or were found faulty; None where nobody tells.
        of: recordings that there are; None: the same.
        last: what was told last, for a reader.
    """

    done: int | None = None
    of: int | None = None
    last: str = ""


class Scoring(Backend, Protocol):
    """Does jobs whose parameters are those of `ScoringParameters`."""

    def progress(self, name: str) -> Progress:
        """Tell how far a run is; may raise `BackendDownError`."""


def queue(home: Home) -> Path:
    """Return the folder with the queue of a home's jobs."""
    return home.trigger / "scoring"


def verdicts(home: Home, name: str) -> Path:
    """Return the folder for the verdicts of the run of a name, as far as they are kept here."""
    return queue(home) / "runs" / name / "verdicts"


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

    def progress(self, name: str) -> Progress:
        """Tell what the log says."""
        try:
            lines = _LINE.findall(read_end(self._folder(name) / launch.LOG, _LOG_BYTES))
        except FileNotFoundError:
            return Progress()
        done, of, _ = next((line for line in reversed(lines) if line[0]), (0, None, ""))
        last = lines[-1][2] if lines else ""
        return Progress(int(done), int(of), last) if of else Progress(last=last)

    def _options(self, run: Run) -> list[str]:
        given = [f"--{name}={value}" for name, value in run.parameters.items()]
        return [*given, f"--output={verdicts(self._home, run.name)}"]

    def _folder(self, name: str) -> Path:
        return verdicts(self._home, name).parent

    def _killed(self, run: Run, reason: str) -> Look:  # noqa: ARG002
        return Look(State.KILLED, reason)


class ScoringOnKfp(KfpRuns):
    """Scores by runs of the newest version of the scoring graph.

    Without a target the verdicts go to the home, whose volume the tasks have, too.

    Args:
        home: the system's folder.
        host: address of the API.
        token: sent as a bearer token, if not empty.
    """

    pipeline = SCORING

    def __init__(self, home: Home, host: str, token: str) -> None:
        super().__init__(host, token, {})
        self._home = home

    def others(self) -> list[Other]:
        """Return none: whoever scores there by other means does not keep a job waiting."""
        return []

    def progress(self, name: str) -> Progress:
        """Tell the newest task's state; how many recordings are done stands in its log alone."""
        steps = self.steps(name)
        return Progress(last=f"{steps[-1]['step']}: {steps[-1]['state']}" if steps else "")

    def _values(self, kubeflow: Kubeflow, run: Run) -> dict[str, Any]:  # noqa: ARG002
        own = str(verdicts(self._home, run.name))
        return {**run.parameters, "target": run.parameters["target"] or own}
