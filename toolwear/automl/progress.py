"""Where the searches are, in files that the waiting process reads and tells.

No thread tells it in the search itself: auto-sklearn forks, and a fork beside a running thread
can leave a lock taken for ever.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolwear.common import jsonfile

_SUFFIX = ".progress.json"


class Progress:
    """The state of one search, visible to other processes.

    Args:
        folder: where they look.
        name: of the search, unique in the folder.
        seconds: its budget, 0 for none in time.
    """

    def __init__(self, folder: Path, name: str, seconds: int = 0) -> None:
        self._file = folder / f"{name.replace('/', '-').replace(' ', '-')}{_SUFFIX}"
        self._state: dict[str, Any] = {"name": name, "seconds": seconds, "started": time.time()}
        self.evaluations = 0
        self.best = math.inf

    def tell(self, text: str, seconds: int | None = None) -> None:
        """Say what goes on now; `seconds` starts the clock again with another budget."""
        if seconds is not None:
            self._state.update(seconds=seconds, started=time.time())
        jsonfile.write(self._file, {**self._state, "text": text})

    def evaluated(self, cost: float, succeeded: bool, members: int) -> None:
        """Count one evaluation of the search."""
        self.evaluations += 1
        if succeeded:
            self.best = min(self.best, cost)
        best = f"best log loss {self.best:.4f}" if math.isfinite(self.best) else "none in time"
        self.tell(f"{self.evaluations} evaluations, {best}, {members} member(s)")

    def done(self) -> None:
        """Say no more."""
        self._file.unlink(missing_ok=True)


def lines(folder: Path) -> Iterator[str]:
    """Yield one line for each search that goes on in `folder`."""
    for file in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            state = jsonfile.read(file)
        except FileNotFoundError:  # it has just ended
            continue
        elapsed = time.time() - state["started"]
        budget = f" of {state['seconds']}" if state["seconds"] else ""
        yield f"{state['name']}: {elapsed:.0f}{budget} s, {state['text']}"
