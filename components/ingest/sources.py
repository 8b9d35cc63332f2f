"""Where recordings come from: a folder, Kaggle's copy, or the simulator, in this order."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

from components.core import schema
from components.core.digest import files_digest
from components.core.errors import ToolwearError
from components.core.steps import report

FOLDER, KAGGLE, SIMULATOR = "folder", "kaggle", "simulator"
KAGGLE_DATASET = "shasun/tool-wear-detection-in-cnc-mill"
# The simulator leaves it beside its files, so that simulated telemetry is known wherever it goes.
SIMULATED_FILE = "SIMULATED.json"
_RUN_FILE = re.compile(r"experiment_(\d{2,})\.csv")


@dataclass(frozen=True)
class Source:
    """A folder of recordings and where it came from."""

    kind: str
    location: str
    folder: Path

    @property
    def warnings(self) -> list[str]:
        """What a reader of any figure made from this source has to know."""
        if self.kind != SIMULATOR:
            return []
        return ["The telemetry is SIMULATED: no figure made from it says anything of a real mill."]


def resolve(data: str, scratch: Path, *, allow_simulator: bool) -> Source:
    """Return the recordings that `data` names.

    Args:
        data: a folder; empty for Kaggle's copy and, where that is out of reach, the simulator.
        scratch: an empty folder that the simulator may fill.
        allow_simulator: whether the simulator may stand in.

    Raises:
        ToolwearError: the folder is missing, or there is no source left.
    """
    if data:
        folder = Path(data)
        if not folder.is_dir():
            raise ToolwearError(f"There is no folder {data}; give the folder of the recordings.")
        kind = SIMULATOR if (folder / SIMULATED_FILE).exists() else FOLDER
        return Source(kind, folder.name, folder)
    downloaded = _from_kaggle()
    if downloaded is not None:
        return Source(KAGGLE, KAGGLE_DATASET, downloaded)
    if not allow_simulator:
        raise ToolwearError(
            f"Kaggle's {KAGGLE_DATASET} is out of reach and the simulator is not allowed; give a "
            "folder of recordings with --data."
        )
    from components.ingest.simulator import SimulatorSettings, simulate

    report("SIMULATED telemetry stands in: Kaggle is out of reach and no folder was given")
    simulate(SimulatorSettings(), scratch)
    return Source(SIMULATOR, SIMULATOR, scratch)


def _from_kaggle() -> Path | None:
    import requests
    from kagglehub import dataset_download
    from kagglehub.exceptions import KaggleApiHTTPError

    report(f"fetching {KAGGLE_DATASET} from Kaggle")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return Path(dataset_download(KAGGLE_DATASET))
    except (requests.RequestException, KaggleApiHTTPError, OSError) as error:
        report(f"Kaggle is out of reach ({type(error).__name__})")
        return None


def run_files(folder: Path) -> dict[int, Path]:
    """Return the run files of a folder by run number."""
    found = {}
    for path in sorted(folder.iterdir()):
        match = _RUN_FILE.fullmatch(path.name)
        if match and path.is_file():
            found[int(match.group(1))] = path
    return dict(sorted(found.items()))


def source_digest(folder: Path) -> str:
    """Return the SHA-256 over the names and bytes of the run table and the run files.

    Raises:
        ToolwearError: there is no such folder, or no run table in it.
    """
    table = folder / schema.RUN_TABLE_FILE
    if not folder.is_dir():
        raise ToolwearError(f"There is no folder {folder}; give the folder of the recordings.")
    if not table.is_file():
        raise ToolwearError(f"{table} is missing; the folder of recordings must hold it.")
    return files_digest(folder, [table, *run_files(folder).values()])
