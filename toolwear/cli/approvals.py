"""What the command line shows of promotions that wait for a person, and what it passes on."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from toolwear.release import approvals, audit_log
from toolwear.release.agreement import disagreement
from toolwear.release.held import read_all
from toolwear.release.registry import Registry
from toolwear.release.registry_state import MODEL_NAME, NOTHING, reconcile
from toolwear.release.served import served_by
from toolwear.workspace.home import MLFLOW_VARIABLE, Home

_LAST = 10


def print_approvals(home: Path, console: Console) -> None:
    """Print what waits, what was decided last, and whether registry or log were changed by hand."""
    print_disagreement(Home.at(home), console)
    print_log_fault(Home.at(home), console)
    held = read_all(Home.at(home))
    if not held:
        console.print("nothing was ever held; `toolwear run --set approval=true` holds a winner")
        return
    table = Table(title="Promotions that a person decides")
    table.add_column("id", no_wrap=True)  # to be copied
    for heading in (
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


def approvals_of(home: Path) -> dict[str, Any]:
    """Return the same as JSON values: all that was ever held, the oldest first, and the faults."""
    at_home = Home.at(home)
    return {
        "approvals": [asdict(item) for item in read_all(at_home)],
        "registry_fault": _disagreement(at_home),
        "audit_log_fault": audit_log.sentence(at_home, audit_log.read(at_home)),
    }


def print_disagreement(home: Home, console: Console) -> None:
    """Print how registry and servers differ, if they do, and what mends it."""
    fault = _disagreement(home)
    if fault:
        console.print(Text.assemble(("registry:", "red"), f" {fault}"), soft_wrap=True)


def _disagreement(home: Home) -> str:
    uri = os.environ.get(MLFLOW_VARIABLE, "")
    return disagreement(Registry(home, uri, MODEL_NAME)) if home.has_registry(uri) else ""


def print_log_fault(home: Home, console: Console) -> None:
    """Print what is wrong with the audit log, if anything is, and what mends it."""
    fault = audit_log.sentence(home, audit_log.read(home))
    if fault:
        console.print(Text.assemble(("audit log:", "red"), f" {fault}"), soft_wrap=True)


def print_reconciled(home: Path, why: str, serve_registered: bool, console: Console) -> None:
    """Make registry and servers agree and print the champion."""
    uri = os.environ.get(MLFLOW_VARIABLE, "")
    entry = reconcile(Home.at(home), why, serve_registered=serve_registered, mlflow_uri=uri)
    console.print(f"champion: version {entry['to']}, in the registry and for servers")


def print_allow(home: Path, key: str, why: str, console: Console) -> None:
    """Allow and print what was released."""
    entry = approvals.allow(
        Home.at(home),
        key,
        why,
        mlflow_uri=os.environ.get(MLFLOW_VARIABLE, ""),
        served=served_by(Home.at(home)),
    )
    done = "released before" if entry["action"] == NOTHING else audit_log.told(entry)
    console.print(f"allowed version {entry['to']}; {done}")


def print_refuse(home: Path, key: str, why: str, console: Console) -> None:
    """Refuse and print who stays champion."""
    entry = approvals.refuse(
        Home.at(home),
        key,
        why,
        mlflow_uri=os.environ.get(MLFLOW_VARIABLE, ""),
        served=served_by(Home.at(home)),
    )
    console.print(audit_log.told(entry))
