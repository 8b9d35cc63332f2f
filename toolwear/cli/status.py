"""The state of a home in one screen."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from serving.front import evidence, judge
from toolwear.cli.approvals import print_log_fault
from toolwear.cli.summary import number
from toolwear.cli.watching import print_watching
from toolwear.common import jsonfile, words
from toolwear.common.errors import ToolwearError
from toolwear.common.states import State
from toolwear.dataset import schema
from toolwear.release import rollout, room
from toolwear.release.held import no_champion, waiting
from toolwear.release.rollout import CANDIDATE
from toolwear.run import run_folder
from toolwear.run.run_folder import ARGUMENTS_FILE, SUMMARY_FILE
from toolwear.workspace.home import MLFLOW_VARIABLE, Home

_GUARD_FILE = "guard.json"


def print_status(home: Path, monitor_url: str, alertmanager_url: str, console: Console) -> None:
    """Print the champion, since when and why, alerts, drift and freshness, and the last runs."""
    from toolwear.release.registry_state import champion_state

    champion = champion_state(home, os.environ.get(MLFLOW_VARIABLE, ""))
    at_home = Home.at(home)
    if champion is None:
        console.print(f"champion: {no_champion(at_home)}", soft_wrap=True)
    else:
        console.print(
            Text.assemble(
                "champion: ",
                (f"{champion['name']} version {champion['version']}", "bold"),
                f" since {champion['since']} ({champion['why']}), "
                f"package {champion['package'][:12]}",
            )
        )
        if champion["differs"]:
            console.print(
                Text.assemble(("registry:", "red"), f" {champion['differs']}"), soft_wrap=True
            )
        for item in waiting(at_home):
            console.print(
                f"held for approval: version {item.version} since {item.since}: "
                "`toolwear approvals`",
            )
    print_log_fault(at_home, console)
    _print_rollout(at_home, console)
    print_watching(at_home, monitor_url, alertmanager_url, console)
    _print_room(at_home, console)
    table = Table(title="Last runs")
    for heading in ("run", "cause", "state", "decision", "known runs", "seconds"):
        table.add_column(heading)
    for folder in run_folder.folders(home)[:10]:
        table.add_row(*_row_or_fault(folder))
    console.print(table)


def _print_rollout(home: Home, console: Console) -> None:
    """Print the rollout that is under way, as the front has last written it down."""
    now = rollout.read(home.root)
    if now is None or not now.running:
        return
    share = (
        f", {now.weights[CANDIDATE]} % of the traffic" if now.mode == rollout.Mode.CANARY else ""
    )
    said = f"decided: {now.verdict}" if now.verdict else "undecided"
    told = now.reason if now.verdict else judge.undecided(now, evidence.load(home.root, now))
    console.print(
        f"rollout: {now.mode} of version {now.version} since {now.started}{share}; {said}: {told}",
        soft_wrap=True,
    )
    if not now.verdict:
        console.print(
            f"  a later winner takes its place from {now.replaceable:%Y-%m-%d %H:%M} UTC on; "
            "`toolwear rollback` ends it",
        )


def _print_room(home: Home, console: Console) -> None:
    """Print what there is of what there may be, and what the disk has left."""
    try:
        used = room.used(home)
    except ToolwearError as error:  # the rest shall be told all the same
        console.print(f"room: unknown, {error}", soft_wrap=True)
        return
    free = room.size(shutil.disk_usage(home.root).free)
    told = ", ".join(map(str, used))
    console.print(f"room: {told}; the disk has {free} left", soft_wrap=True)
    if any(one.over for one in used):
        console.print("  more than there may be: `toolwear prune` removes the oldest")


def _row_or_fault(folder: Path) -> list[str]:
    """Return a run's row; one broken file shall not hide the other runs."""
    try:
        return _run_row(folder)
    except (ToolwearError, ValueError, KeyError, TypeError) as error:
        return [folder.name, f"left out: {error}", "", "", "", ""]


def _run_row(folder: Path) -> list[str]:
    cause = jsonfile.read(folder / ARGUMENTS_FILE)["cause"]
    state = run_folder.ending(folder).state
    if state is not State.SUCCEEDED:
        return [folder.name, words.cause(cause), state, _refusal(folder), "", ""]
    summary = jsonfile.read(folder / SUMMARY_FILE)
    best = summary["protocols"][schema.KNOWN_RUNS].get(schema.AUTO_SKLEARN, {})
    return [
        folder.name,
        words.cause(cause),
        state,
        words.decision(summary["gate"]["decision"]),
        number(best.get("accuracy")),
        f"{summary['timings']['total']:.0f}",
    ]


def _refusal(folder: Path) -> str:
    """Return the guard's decision if it ended the run."""
    for path in folder.glob(f"artifacts/*/guard/guarded/{_GUARD_FILE}"):
        decision: str = jsonfile.read(path)["decision"]
        return words.decision(decision) if decision.startswith("refuse_") else ""
    return ""
