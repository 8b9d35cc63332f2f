"""What has to be put back if a deployment is killed, noted in the home while it is at work.

Not on the InferenceService itself: KServe copies its annotations to the pods, so that a note there
starts them anew when it comes and when it goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolwear.common import jsonfile
from toolwear.release.blue_green.colours import Manifest, applicable
from toolwear.workspace.home import Home


@dataclass(frozen=True)
class Notes:
    """The notes of a home, one a colour; who holds its lock on deployments may use them."""

    home: Home

    def write(self, colour: str, previous: Manifest | None) -> None:
        """Note what there was of a colour, None for nothing."""
        note = None if previous is None else applicable(previous)
        jsonfile.write(self._path(colour), {"previous": note})

    def read(self, colour: str) -> tuple[bool, Manifest | None]:
        """Tell whether a deployment to a colour was not settled, and return what to put back."""
        try:
            return True, jsonfile.read(self._path(colour))["previous"]
        except FileNotFoundError:
            return False, None

    def drop(self, colour: str) -> None:
        """Settle a colour."""
        self._path(colour).unlink(missing_ok=True)

    def _path(self, colour: str) -> Path:
        return self.home.deployments / f"{colour}.json"
