"""What the runs of the home have left: which there are, and the artifacts of their steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolwear.common import jsonfile, words
from toolwear.common.errors import ToolwearError
from toolwear.common.states import State
from toolwear.dataset.schema import AUTO_SKLEARN, KNOWN_RUNS
from toolwear.release import audit_log, rollout
from toolwear.release import champion as pointer
from toolwear.run import run_folder
from toolwear.run.run_folder import ARGUMENTS_FILE, FAILURE_FILE, LATEST, REPORT_FILE, SUMMARY_FILE
from toolwear.workspace.home import Home

# Arguments that change no artifact: why and where from a run was started.
_IRRELEVANT = frozenset({"cause", "commit", "graph_digest", "data"})


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


def latest(home: Home) -> Run | None:
    """Return the run that finished last."""
    link = home.root / LATEST
    folder = link.resolve()
    # What leads elsewhere is no run of this home.
    inside = folder.parent == home.root.resolve()
    return Run(folder) if inside and (link / SUMMARY_FILE).exists() else None


def of_champion(home: Home) -> Run | None:
    """Return the newest finished run whose model is the champion, else the latest one."""
    champion = pointer.read(home.root)
    for candidate in runs(home):
        summary = candidate.summary
        if summary and champion and summary["model"]["package"] == champion.package_digest:
            return candidate
    return latest(home)


def artifact(home: Home, run: Run, step: str, name: str) -> Path | None:
    """Return the folder of an artifact of a run; None if it is gone.

    A step out of the cache leaves nothing in its own run: then it is in the newest earlier run
    with the same arguments or, failing that, with the same data.
    """
    own = run.arguments
    earlier = [other for other in runs(home) if other.name < run.name]
    same_data = [o for o in earlier if o.arguments["data_digest"] == own["data_digest"]]
    same = [o for o in same_data if _relevant(o.arguments) == _relevant(own)]
    for candidate in (run, *same, *same_data):
        found = next(_folders(candidate, step, name), None)
        if found is not None and found.resolve().is_relative_to(home.root.resolve()):
            return found
    return None


def audit_log_of(home: Home) -> tuple[list[dict[str, Any]], str]:
    """Return the entries that can be read, and in a sentence what is wrong with the log."""
    try:
        log = audit_log.read(home)
    except ToolwearError as error:
        return [], str(error)
    return log.entries, audit_log.sentence(home, log)


def rollback_target(home: Home, model: str) -> str:
    """Return what a rollback would go back from or to, in words; empty if there is nothing.

    Args:
        home: the system's folder.
        model: name of the registered model.
    """
    try:
        now = rollout.read(home.root)
        if now is not None and now.running:
            return f"the rollout of version {now.version} ends and version {now.champion} stays"
        moves = audit_log.moves_of(audit_log.entries(home), model)
    except ToolwearError:  # Monitoring shows what is wrong with the log
        return ""
    known = [entry["to"] for entry in audit_log.champions(moves) if entry["to"] is not None]
    return f"version {known[-2]} answers again instead of version {known[-1]}" if known[1:] else ""


def _relevant(arguments: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key not in _IRRELEVANT}


def _folders(run: Run, step: str, name: str) -> Iterator[Path]:
    return (run.folder / "artifacts").glob(f"*/{step}/{name}")
