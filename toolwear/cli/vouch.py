"""Vouching for new runs from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from components.guard import vouching
from toolwear.release.registry_state import MODEL_NAME
from toolwear.workspace.home import Home


def vouch(home: Path, data: Path, runs: Sequence[str], why: str, console: Console) -> None:
    """Remember that a person has checked runs, and say which.

    Raises:
        ToolwearError: the folder does not hold them.
    """
    known = vouching.vouch(Home.at(home), data, runs, why, MODEL_NAME)
    console.print(f"vouched for runs {', '.join(known)} of {data}")
