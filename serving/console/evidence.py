"""What the runs of the home have left: which there are, and the artifacts of their steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from toolwear.common.errors import ToolwearError
from toolwear.release import audit_log, rollout
from toolwear.release import champion as pointer
from toolwear.run.run_folder import LATEST, SUMMARY_FILE
from toolwear.run.runs import Run, Step, left_out, run, runs
from toolwear.workspace.home import Home

__all__ = [
    "Run",
    "Step",
    "artifact",
    "audit_log_of",
    "latest",
    "left_out",
    "of_champion",
    "rollback_target",
    "run",
    "runs",
]

# Arguments that change no artifact: why and where from a run was started.
_IRRELEVANT = frozenset({"cause", "commit", "graph_digest", "data"})


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


def artifact(
    home: Home, run: Run, step: str, name: str, among: Sequence[Run] | None = None
) -> Path | None:
    """Return the folder of an artifact of a run; None if it is gone.

    A step out of the cache leaves nothing in its own run: then it is in the newest earlier run
    with the same arguments or, failing that, with the same data.

    Args:
        home: the system's folder.
        run: whose.
        step: that made it.
        name: of the artifact.
        among: `runs(home)`, where that is known already.
    """
    for candidate in _origins(home, run, among):
        found = next(_folders(candidate, step, name), None)
        if found is not None and found.resolve().is_relative_to(home.root.resolve()):
            return found
    return None


def origin(home: Home, run: Run, step: str) -> Run | None:
    """Return the run that has what a step left, another one if the step was cached, else None."""
    return next((one for one in _origins(home, run) if any(_folders(one, step, "*"))), None)


def _origins(home: Home, run: Run, among: Sequence[Run] | None = None) -> Iterator[Run]:
    yield run
    own = run.arguments
    earlier = [other for other in among or runs(home) if other.name < run.name]
    same_data = [o for o in earlier if o.arguments["data_digest"] == own["data_digest"]]
    yield from (o for o in same_data if _relevant(o.arguments) == _relevant(own))
    yield from same_data


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
