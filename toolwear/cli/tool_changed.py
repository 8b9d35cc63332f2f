"""Takes a person's word that the tool of a machine was changed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from serving.monitor import state as states
from toolwear.common.lock import exclusive
from toolwear.workspace.home import Home


def tool_changed(home: Path, machine: str, console: Console) -> None:
    """Let what was answered until now say nothing of the machine's tool any more.

    Args:
        home: the system's folder.
        machine: its name, as clients send it.
        console: to print to.

    Raises:
        ToolwearError: there is no telemetry of such a machine.
    """
    where = Home.at(home)
    with exclusive(where.lock("monitor"), "watching this home"):
        state = states.read(where.monitor)
        was_worn = state.machines.changed(machine, datetime.now(UTC))
        states.write(where.monitor, state)
    ended = "its alert ends" if was_worn else "no alert was open"
    console.print(f"machine {machine} has another tool; {ended}", soft_wrap=True)
