"""Runs that a person has checked. What counts is recording and label, under whatever number.

Kept beside what the champions have learnt from: a person who has vouched once is not asked again,
and a label that is changed afterwards is one that nobody has vouched for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.guard import observe
from components.guard.runs import RunFacts, matches
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.lock import exclusive
from toolwear.common.person import who
from toolwear.common.thresholds import Guard
from toolwear.release import audit_log
from toolwear.release.entries import note
from toolwear.workspace.home import Home

FILE = "vouched.json"
_LOCK = "vouch"


def read(home: Home) -> list[RunFacts]:
    """Return the runs that were vouched for, the oldest first."""
    return [RunFacts.from_json(entry["run"]) for entry in _entries(home)]


def vouched(
    runs: Sequence[RunFacts], vouched_for: Sequence[RunFacts], limits: Guard
) -> frozenset[str]:
    """Return the ids of the runs whose recording was vouched for with the label that they have."""
    found = set()
    for label in {run.label for run in vouched_for}:
        alike = [run for run in runs if run.label == label]
        near = matches(alike, [run for run in vouched_for if run.label == label])
        found |= {run for run, match in near.items() if match.share >= limits.same_recording}
    return frozenset(found)


def keep(home: Home, runs: Sequence[RunFacts], why: str) -> None:
    """Remember that a person has checked recording and label of these runs."""
    with exclusive(home.lock(_LOCK), "vouching for runs"):
        entries = _entries(home)
        known = [entry["run"] for entry in entries]
        when, person = datetime.now(UTC).isoformat(timespec="seconds"), who()
        entries += [
            {"when": when, "who": person, "why": why, "run": run.as_json()}
            for run in runs
            if run.as_json() not in known
        ]
        jsonfile.write(home.provenance / FILE, {"vouched": entries})


def vouch(home: Home, telemetry: Path, names: Collection[str], why: str, model: str) -> list[str]:
    """Remember the named runs, and put it on the audit log; return their ids.

    Args:
        home: the system's folder.
        telemetry: folder that the ingest step has made of the recordings.
        names: ids of runs; `logic.ALL_RUNS` for all of them.
        why: how the person knows.
        model: name of the registered model.

    Raises:
        ToolwearError: a run is not among the recordings.
    """
    from components.guard.logic import ALL_RUNS

    manifest = jsonfile.read(telemetry / "manifest.json")
    runs = observe.read(telemetry)
    unknown = sorted(set(names) - {run.run_id for run in runs} - {ALL_RUNS})
    if unknown:
        raise ToolwearError(
            f"Run {unknown[0]} is not in these recordings; they hold runs "
            f"{', '.join(run.run_id for run in runs)}."
        )
    chosen = [run for run in runs if ALL_RUNS in names or run.run_id in names]
    keep(home, chosen, why)
    told = ", ".join(f"{run.run_id} ({run.condition})" for run in chosen)
    note(home, audit_log.VOUCH, model, f"{why}: runs {told}", "", manifest["digest"])
    return [run.run_id for run in chosen]


def _entries(home: Home) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = jsonfile.read(home.provenance / FILE)["vouched"]
    except FileNotFoundError:
        return []
    return found
