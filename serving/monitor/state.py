"""All that the monitor knows between two looks at the log, in one file that is replaced whole.

How far the log has been read, the windows under way and the windows that are done stand in the same
file: whenever the monitor is killed, they fit each other, and no row counts twice or not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.monitor.floor import Machines
from serving.monitor.judge import Verdicts
from serving.monitor.kinds import Kind, Result
from serving.monitor.tally import LabelTally, QualityTally, RegimeTally
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.files import TEXT_BYTES, read_regular

STATE_FILE = "state.json"
KEPT_WINDOWS = 300


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Window(_Part):
    """A window that is done.

    Attributes:
        id: names it and its report.
        package: digest of the model that answered.
        about: of which rows it is.
        rows: how many.
        first: when its first row was answered, or labelled; ISO 8601.
        last: its last.
        verdicts: by kind.
    """

    id: str
    package: str
    about: str
    rows: int
    first: str
    last: str
    verdicts: Verdicts


class Position(_Part):
    """How far a file of the payload log has been read; `done`: to its end, and it has ended."""

    rows: int = 0
    done: bool = False


class PackageState(_Part):
    """What is under way for one package.

    Attributes:
        regimes: cutting rows, by regime.
        quality: all rows.
        labels: labelled rows.
        newest: when the features of each run were made that were seen last: asked again, the
            same row counts once.
        closed: how many windows of each name are done.
    """

    regimes: dict[str, RegimeTally] = Field(default_factory=dict)
    quality: QualityTally = Field(default_factory=QualityTally)
    labels: LabelTally = Field(default_factory=LabelTally)
    newest: dict[str, str] = Field(default_factory=dict)
    closed: dict[str, int] = Field(default_factory=dict)

    def restart(self) -> None:
        """Forget the windows under way."""
        self.regimes, self.quality, self.labels = {}, QualityTally(), LabelTally()


class State(_Part):
    """All of it.

    Attributes:
        format: of the file.
        positions: by file of the payload log.
        packages: by digest.
        windows: done, oldest first; the latest `KEPT_WINDOWS`.
        totals: windows so far, by kind and result.
        gaps: how often the log lost rows before they were read.
        unmatched_labels: labels whose answer the log no longer had.
        labelled_rows: counted so far.
        rows: read so far.
        unreferenced_rows: answered by a package without a reference.
        machines: whose tools are watched.
    """

    format: Literal[1] = 1
    positions: dict[str, Position] = Field(default_factory=dict)
    packages: dict[str, PackageState] = Field(default_factory=dict)
    windows: list[Window] = Field(default_factory=list)
    totals: dict[Kind, dict[Result, int]] = Field(default_factory=dict)
    gaps: int = 0
    unmatched_labels: int = 0
    labelled_rows: int = 0
    rows: int = 0
    unreferenced_rows: int = 0
    machines: Machines = Field(default_factory=Machines)

    def close(self, window: Window) -> None:
        """Add a window that is done."""
        self.windows = [*self.windows, window][-KEPT_WINDOWS:]
        for kind, verdict in window.verdicts.items():
            of_kind = self.totals.setdefault(kind, {})
            of_kind[verdict.result] = of_kind.get(verdict.result, 0) + 1

    def of_kind(self, kind: Kind, package: str) -> list[Window]:
        """Return the windows of a package that say something of a kind, oldest first."""
        return [w for w in self.windows if w.package == package and kind in w.verdicts]


def read(folder: Path) -> State:
    """Return the state in the monitor's folder, a new one if there is none.

    Raises:
        ToolwearError: the file is broken.
    """
    path = folder / STATE_FILE
    try:
        return State.model_validate_json(read_regular(path, TEXT_BYTES))
    except FileNotFoundError:
        return State()
    except ValidationError:
        raise ToolwearError(
            f"{path} is not a state of this version's monitor; move it away to begin anew."
        ) from None


def write(folder: Path, state: State) -> None:
    """Replace the state."""
    jsonfile.write_text(folder / STATE_FILE, state.model_dump_json() + "\n")
