"""What a data set of ours brings as code beside its contract: a simulator of its recordings."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from toolwear.dataset import contract


class Simulator(Protocol):
    """`datasets.NAME.simulator`."""

    SimulatorSettings: type[BaseModel]

    def simulate(
        self, settings: Any, output: Path, progress: Callable[[int, int], object] | None = None
    ) -> None:
        """Fill a folder with recordings, and tell the rows written and those in all."""


def simulator() -> Simulator:
    """Return the simulator of the default data set."""
    module: Any = importlib.import_module(f"datasets.{contract.DEFAULT}.simulator")
    found: Simulator = module
    return found
