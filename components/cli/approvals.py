"""What the command line shows of promotions that wait for a person, and what it passes on."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.table import Table

from components.core.home import MLFLOW_VARIABLE, Home
from components.promote import approvals
from components.promote.held import read_all
from components.promote.registry_state import NOTHING
from components.promote.served import served_by

_LAST = 10


def print_approvals(home: Path, console: Console) -> None:
    """Print what waits, and what was decided last."""
    held = read_all(Home.at(home))
    if not held:
        console.print("nothing was ever held; `toolwear run --set approval=true` holds a winner")
        return
    table = Table(title="Promotions that a person decides")
    for heading in (
        "id",
        "version",
        "status",
        "since",
        "judged against",
        "rollout",
        "cause",
        "why",
        "said",
    ):
        table.add_column(heading, overflow="fold")
    for item in held[-_LAST:]:
        against = item.champion or "no champion"
        table.add_row(
            item.id,
            item.version,
            item.status,
            item.since,
            against,
            item.mode,
            item.cause,
            item.why,
            item.said,
        )
    console.print(table)


def print_allow(home: Path, key: str, why: str, console: Console) -> None:
    """Allow and print what was released."""
    entry = approvals.allow(
        Home.at(home),
        key,
        why,
        mlflow_uri=os.environ.get(MLFLOW_VARIABLE, ""),
        served=served_by(Home.at(home)),
    )
    done = "was released before" if entry["action"] == NOTHING else entry["action"]
    console.print(
        f"allowed: version {entry['to']}: {done.replace('_', ' ')}, from version {entry['from']}",
        highlight=False,
    )


def print_refuse(home: Path, key: str, why: str, console: Console) -> None:
    """Refuse and print who stays champion."""
    entry = approvals.refuse(
        Home.at(home),
        key,
        why,
        mlflow_uri=os.environ.get(MLFLOW_VARIABLE, ""),
        served=served_by(Home.at(home)),
    )
    console.print(
        f"refused: version {entry['to']}; the champion stays version {entry['from']}",
        highlight=False,
    )
