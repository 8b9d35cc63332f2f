"""Where recordings come from: a folder, Kaggle's copy, or the simulator, in this order."""

from __future__ import annotations

import contextlib
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from toolwear.common.digest import combined_digest, file_digest
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.dataset import contract
from toolwear.dataset.contract import DataSet
from toolwear.dataset.hooks import simulator

FOLDER, KAGGLE, SIMULATOR = "folder", "kaggle", "simulator"
# The simulator leaves it beside its files, so that simulated telemetry is known wherever it goes.
# What a name may end in, whatever the contract's own ending is.
_ENDING = r"(\.(csv|tsv|txt|dat|parquet|pq))?(\.(gz|bz2|xz|zst))?"
_MAY_BE_READ = re.compile(r"[^.].*\.(csv|tsv|txt|dat|parquet|pq)(\.(gz|bz2|xz|zst))?", re.I)
_LOOKS_RECORDED = re.compile(
    r"[^.].*\.(csv|tsv|parquet|pq|xlsx?)(\.(gz|bz2|xz|zst|zip))?|[^.].*\.(csv|txt)\.zip", re.I
)


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


def resolve(data: str, kaggle: str, scratch: Path, *, allow_simulator: bool) -> Source:
    """Return the recordings that `data` names.

    Args:
        data: a folder; empty for Kaggle's copy and, where that is out of reach, the simulator.
        kaggle: handle of that copy.
        scratch: a folder, not there yet, that the simulator may make.
        allow_simulator: whether the simulator may stand in.

    Raises:
        ToolwearError: the folder is missing, or there is no source left.
    """
    if data:
        folder = Path(data)
        if not folder.is_dir():
            raise ToolwearError(f"There is no folder {data}; give the folder of the recordings.")
        kind = SIMULATOR if (folder / contract.SIMULATED_FILE).exists() else FOLDER
        return Source(kind, folder.resolve().name, folder)
    downloaded = _from_kaggle(kaggle)
    if downloaded is not None:
        return Source(KAGGLE, kaggle, downloaded)
    if not allow_simulator:
        raise ToolwearError(
            f"Kaggle's {kaggle} is out of reach and the simulator is not allowed; give a "
            "folder of recordings with --data."
        )
    report("SIMULATED telemetry stands in: Kaggle is out of reach and no folder was given")
    made_by = simulator()
    made_by.simulate(made_by.SimulatorSettings(), scratch)
    return Source(SIMULATOR, SIMULATOR, scratch)


def _from_kaggle(kaggle: str) -> Path | None:
    # Imported here: it takes a while, and nobody who has a folder needs it.
    import requests  # type: ignore[import-untyped]
    from kagglehub import dataset_download
    from kagglehub.exceptions import DataCorruptionError, UnauthenticatedError

    report(f"fetching {kaggle} from Kaggle")
    try:
        # kagglehub gives up on a silent server after 5 s (connect) or 15 s (read), without retry.
        with contextlib.redirect_stdout(io.StringIO()):
            return Path(dataset_download(kaggle))
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


def may_be_read(name: str) -> bool:
    """Tell whether a file of this name is a part of recordings by some contract."""
    return name in (contract.SIMULATED_FILE, contract.FILE) or bool(_MAY_BE_READ.fullmatch(name))


def _is_read(name: str, dataset: DataSet) -> bool:
    return _is_table(name, dataset) or _number(name, dataset) is not None


def run_files(folder: Path, dataset: DataSet) -> dict[int, Path]:
    """Return the files of single recordings by their number, in the order of their numbers.

    Raises:
        ToolwearError: two files have the same number.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        number = _number(path.name, dataset)
        if number is None or not path.is_file():
            continue
        if number in found:
            raise ToolwearError(
                f"{found[number].name} and {path.name} are both the recording of run {number}; "
                "keep one."
            )
        found[number] = path
    return dict(sorted(found.items()))


def whole_file(folder: Path, dataset: DataSet) -> Path | None:
    """Return the one file that holds all recordings; None if each has a file of its own.

    Raises:
        ToolwearError: the contract names one, and it is not there.
    """
    if not dataset.recordings.file:
        return None
    path = folder / dataset.recordings.file
    if not path.is_file():
        raise ToolwearError(
            f"{folder} lacks {path.name}, which dataset.toml names as the file of all recordings."
        )
    return path


def misnamed_files(folder: Path, dataset: DataSet) -> list[str]:
    """Return the names that look like recordings but are not spelt as one, such as run_1.csv."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file()
        and _LOOKS_RECORDED.fullmatch(path.name)
        and not _is_read(path.name, dataset)
    )


def run_table_file(folder: Path, dataset: DataSet) -> Path | None:
    """Return the table of runs; None if the contract names none.

    Raises:
        ToolwearError: there is no such folder, no table in it, or more than one.
    """
    if not folder.is_dir():
        raise ToolwearError(f"There is no folder {folder}; give the folder of the recordings.")
    name = dataset.recordings.table
    if not name:
        return None
    found = sorted(
        path for path in folder.iterdir() if path.is_file() and _is_table(path.name, dataset)
    )
    if not found:
        raise ToolwearError(
            f"{folder} lacks {name}, the table of runs; give the folder that holds it beside the "
            "run files, or name it in table under [recordings] in dataset.toml."
        )
    if len(found) > 1:
        raise ToolwearError(
            f"{found[0].name} and {found[1].name} are both the table of runs; keep one."
        )
    return found[0]


def _is_table(name: str, dataset: DataSet) -> bool:
    table = dataset.recordings.table
    return bool(table) and _matches(table, name) is not None


def _number(name: str, dataset: DataSet) -> int | None:
    """Return the number of the recording that a file of this name is, if it is one."""
    recordings = dataset.recordings
    if recordings.file:
        return 0 if name == recordings.file else None
    match = _matches(recordings.files, name)
    return int(match[1]) if match else None


def _matches(pattern: str, name: str) -> re.Match[str] | None:
    """Match a name in upper or lower case and with any usual ending; {id} is digits."""
    stem = re.sub(rf"{_ENDING}$", "", pattern, count=1, flags=re.I)
    expression = re.escape(stem).replace(re.escape(contract.ID), r"0*(\d{1,9})")
    return re.fullmatch(expression + _ENDING, name, re.I)


def file_digests(folder: Path, dataset: DataSet) -> dict[str, str]:
    """Return the SHA-256 of all that is read, by name.

    That is the table, the recordings, the simulator's note and the folder's own dataset.toml.

    Raises:
        ToolwearError: there is no such folder, no run table in it, or a file can't be read.
    """
    table = run_table_file(folder, dataset)
    notes = [
        path
        for path in (folder / contract.SIMULATED_FILE, folder / contract.FILE)
        if path.is_file()
    ]
    whole = whole_file(folder, dataset)
    recordings = [whole] if whole else list(run_files(folder, dataset).values())
    tables = [table] if table else []
    try:
        return {path.name: file_digest(path) for path in [*tables, *notes, *recordings]}
    except PermissionError as error:
        raise ToolwearError(f"{error.filename} may not be read; mend its permission.") from None


def source_digest(folder: Path, dataset: DataSet | None = None) -> str:
    """Return one SHA-256 over the names and bytes of the recordings; see `file_digests`.

    Args:
        folder: of the recordings.
        dataset: their contract; by default the folder's own, else the mill's.
    """
    return combined_digest(file_digests(folder, dataset or contract.resolve("", folder)))
