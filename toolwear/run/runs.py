"""The runs of a home as the console and the command line show them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolwear.common import jsonfile, words
from toolwear.common.errors import ToolwearError
from toolwear.common.states import State
from toolwear.dataset.schema import AUTO_SKLEARN, KNOWN_RUNS
from toolwear.run import run_folder
from toolwear.run.run_folder import ARGUMENTS_FILE, FAILURE_FILE, REPORT_FILE, SUMMARY_FILE
from toolwear.workspace.home import Home


@dataclass(frozen=True)
class Step:
    """A step of a run, as it told itself.

    Attributes:
        name: of the step.
        state: a `State`.
        seconds: how long it took; None if it has not ended.
        reason: why it failed, else empty.
    """

    name: str
    state: str
    seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Run:
    """A run's folder."""

    folder: Path

    @property
    def name(self) -> str:
        """Its name, which begins with the time of its start."""
        return self.folder.name

    @property
    def arguments(self) -> dict[str, Any]:
        """What it was started with."""
        value: dict[str, Any] = jsonfile.read(self.folder / ARGUMENTS_FILE)
        return value

    @property
    def summary(self) -> dict[str, Any] | None:
        """What it found; None if it has not finished."""
        path = self.folder / SUMMARY_FILE
        return jsonfile.read(path) if path.exists() else None

    @property
    def state(self) -> State:
        """How it stands."""
        return run_folder.ending(self.folder).state

    @property
    def reason(self) -> str:
        """Why it did not succeed, "" if it did or is at work."""
        return run_folder.ending(self.folder).reason

    @property
    def page(self) -> Path | None:
        """Its report, or the page that says why it failed."""
        for name in (REPORT_FILE, FAILURE_FILE):
            if (self.folder / name).exists():
                return self.folder / name
        return None

    def row(self) -> dict[str, Any]:
        """Return its line in the table of runs."""
        summary = self.summary
        row: dict[str, Any] = {
            "name": self.name,
            "cause": words.cause(self.arguments["cause"]),
            "state": self.state,
        }
        if summary is not None:
            best = summary["protocols"][KNOWN_RUNS].get(AUTO_SKLEARN, {})
            row |= {
                "decision": words.decision(summary["gate"]["decision"]),
                "promoted": words.outcome(summary["gate"]["outcome"]),
                "version": summary["model"]["version"],
                "accuracy": best.get("accuracy"),
                "seconds": summary["timings"]["total"],
                "cached": len(summary["cached"]),
            }
        return row

    @property
    def fault(self) -> str:
        """Why it can't be shown, "" if it can: one broken file shall not hide the other runs."""
        try:
            self.row()
        except ToolwearError as error:
            return str(error)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return f"A file in {self.folder} is broken ({type(error).__name__}: {error})."
        return ""

    def steps(self) -> dict[str, Step]:
        """Return the steps that have told of themselves, by name."""
        cached = (self.summary or {}).get("cached", [])
        found = {name: Step(name, State.CACHED, 0.0) for name in cached}
        for event in run_folder.steps(self.folder, running=self.state is State.RUNNING):
            found[event["step"]] = Step(
                event["step"], event["state"], event.get("seconds"), str(event.get("reason", ""))
            )
        return found


def runs(home: Home) -> list[Run]:
    """Return the runs of the home that can be shown, the newest first."""
    return [run for run in _all(home) if not run.fault]


def left_out(home: Home) -> dict[str, str]:
    """Return the names of the others, and why each is left out."""
    return {run.name: run.fault for run in _all(home) if run.fault}


def _all(home: Home) -> list[Run]:
    return [Run(path) for path in run_folder.folders(home.root)]


def run(home: Home, name: str) -> Run | None:
    """Return the run of a name that somebody has sent, None if there is none."""
    return next((found for found in runs(home) if found.name == name), None)
