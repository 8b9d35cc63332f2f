"""Vouching for new runs from the command line."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from components.guard import vouching
from components.ingest.step import ingest
from toolwear.release.registry_state import MODEL_NAME
from toolwear.workspace.home import Home


def vouch(home: Path, data: Path, runs: Sequence[str], why: str, console: Console) -> None:
    """Read recordings, remember which of their runs a person has checked, and say which.

    Raises:
        ToolwearError: the recordings cannot be read, or do not hold the runs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        telemetry = Path(scratch) / "telemetry"
        ingest(data=str(data), data_digest="", allow_simulator=False, output=telemetry)
        known = vouching.vouch(Home.at(home), telemetry, runs, why, MODEL_NAME)
    console.print(f"vouched for runs {', '.join(known)} of {data}")
