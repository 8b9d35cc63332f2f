"""Where recordings come from: a folder, Kaggle's copy, or the simulator, in this order."""

from __future__ import annotations

import contextlib
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from components.core import schema
from components.core.digest import combined_digest, file_digest
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
        scratch: a folder, not there yet, that the simulator may make.
        allow_simulator: whether the simulator may stand in.

    Raises:
        ToolwearError: the folder is missing, or there is no source left.
    """
    if data:
        folder = Path(data)
        if not folder.is_dir():
            raise ToolwearError(f"There is no folder {data}; give the folder of the recordings.")
        kind = SIMULATOR if (folder / SIMULATED_FILE).exists() else FOLDER
        return Source(kind, folder.resolve().name, folder)
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
    # Imported here: it takes a while, and nobody who has a folder needs it.
    import requests  # type: ignore[import-untyped]
    from kagglehub import dataset_download
    from kagglehub.exceptions import DataCorruptionError, UnauthenticatedError

    report(f"fetching {KAGGLE_DATASET} from Kaggle")
    try:
        # kagglehub gives up on a silent server after 5 s (connect) or 15 s (read), without retry.
        with contextlib.redirect_stdout(io.StringIO()):
            return Path(dataset_download(KAGGLE_DATASET))
    except (
        requests.RequestException,
        ConnectionError,
        TimeoutError,
        DataCorruptionError,
        UnauthenticatedError,
        zipfile.BadZipFile,
    ) as error:
        report(f"Kaggle is out of reach ({type(error).__name__})")
        return None


def run_files(folder: Path) -> dict[int, Path]:
    """Return the run files of a folder by run number, in the order of their numbers."""
    found = {}
    for path in folder.iterdir():
        match = _RUN_FILE.fullmatch(path.name)
        if match and _is_run_file(path, int(match.group(1))):
            found[int(match.group(1))] = path
    return dict(sorted(found.items()))


def misnamed_files(folder: Path) -> list[str]:
    """Return the names that look like run files but are not spelt as one, such as run_1.csv."""
    files = set(run_files(folder).values())
    known = {schema.RUN_TABLE_FILE}
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() == ".csv" and path not in files and path.name not in known
    )


def _is_run_file(path: Path, number: int) -> bool:
    return path.name == schema.RUN_FILE_PATTERN.format(number=number) and path.is_file()


def file_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the run table, the run files and the simulator's note, by name.

    Raises:
        ToolwearError: there is no such folder, no run table in it, or a file can't be read.
    """
    if not folder.is_dir():
        raise ToolwearError(f"There is no folder {folder}; give the folder of the recordings.")
    table, note = folder / schema.RUN_TABLE_FILE, folder / SIMULATED_FILE
    if not table.is_file():
        raise ToolwearError(
            f"{folder} lacks {schema.RUN_TABLE_FILE}, the table of runs; give the folder that "
            "holds it beside the run files."
        )
    notes = [note] if note.is_file() else []
    try:
        return {p.name: file_digest(p) for p in [table, *notes, *run_files(folder).values()]}
    except PermissionError as error:
        raise ToolwearError(f"{error.filename} may not be read; mend its permission.") from None


def source_digest(folder: Path) -> str:
    """Return one SHA-256 over the names and bytes of the recordings; see `file_digests`."""
    return combined_digest(file_digests(folder))
