"""What there is to score: files, folders and patterns, each recording with its settings."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolwear.common.errors import ToolwearError
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import DataSet
from toolwear.dataset.recordings import recordings
from toolwear.dataset.run_table import read_run_table
from toolwear.dataset.sources import may_be_read, run_files, run_table_file


@dataclass(frozen=True)
class Source:
    """A recording to score.

    Attributes:
        path: of its rows.
        name: for people.
        dataset: the contract that reads it.
        settings: by name; None where nobody has said them.
    """

    path: Path
    name: str
    dataset: DataSet
    settings: Mapping[str, float] | None

    def stated(self) -> Mapping[str, float]:
        """Return the settings.

        Raises:
            ToolwearError: nobody has said them.
        """
        if self.settings is None:
            keys = ",".join(f"{name}=..." for name in self.dataset.settings)
            raise ToolwearError(
                f"{self.name} has no row in a table of runs; give its settings with "
                f"--settings {keys}, on which the answer depends."
            )
        return self.settings


def settings_of(text: str, dataset: DataSet | None) -> dict[str, float] | None:
    """Return settings given as `feedrate=6,clamp_pressure=4`; None for an empty text.

    Args:
        text: as people write them.
        dataset: contract that names them; None where somebody else holds it, who looks at them.

    Raises:
        ToolwearError: one is missing, unknown or not a positive number.
    """
    if not text.strip():
        return None
    parts = (part.partition("=") for part in text.split(","))
    given = {name.strip(): value.strip() for name, _, value in parts}
    return checked_settings(given, "--settings", dataset)


def checked_settings(
    given: Mapping[str, str], where: str, dataset: DataSet | None
) -> dict[str, float]:
    """Return settings as numbers.

    Args:
        given: by their names, as they were written.
        where: they stand, for people.
        dataset: contract that names them; None: any name will do.

    Raises:
        ToolwearError: one is missing, unknown or not a positive number.
    """
    names = given if dataset is None else dataset.settings
    found: dict[str, float] = {}
    for name, value in given.items():
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = math.nan
        if not name or name not in names or not 0 < found[name] < math.inf:
            said = f"{name}={value}" if value else name
            each = "settings" if dataset is None else f"each of {', '.join(names)}"
            raise ToolwearError(f"{where} has '{said[:80]}'; give {each} as NAME=NUMBER.")
    missing = [name for name in names if name not in found]
    if missing:
        raise ToolwearError(f"{where} lacks {missing[0]}; add {missing[0]}=NUMBER.")
    return found


def sources(
    given: Sequence[str],
    dataset: str,
    known: DataSet,
    settings: Mapping[str, float] | None,
    scratch: Path,
) -> Iterator[Source]:
    """Yield the recordings that paths name.

    Args:
        given: files, folders, or patterns such as `shift/*.csv`.
        dataset: name or path of the contract; empty: the folder's own, else `known`.
        known: the contract of the recordings that the model was trained on.
        settings: of all recordings, in the place of what a table says.
        scratch: an empty folder, in which a file of many recordings is divided.

    Raises:
        ToolwearError: there is nothing by a name, or a table can't be read.
    """
    for path in _paths(given):
        folder = path if path.is_dir() else path.parent
        own = bool(dataset) or (folder / contract.FILE).is_file()
        chosen = contract.resolve(dataset, folder) if own else known
        told = _Told(folder, chosen, settings)
        if path.is_dir():
            yield from told.folder(scratch)
        elif chosen.recordings.file == path.name:
            yield from told.divided(scratch)
        else:
            yield told.file(path)


def _paths(given: Sequence[str]) -> Iterator[Path]:
    for text in given:
        path = Path(text)
        found = [path] if path.exists() else _matching(text)
        if not found:
            raise ToolwearError(f"There is no file or folder {text}; give recordings to score.")
        yield from found


def _matching(pattern: str) -> list[Path]:
    """Return what a pattern names that no shell has filled in, in the order of names."""
    # Of `shift/a*.csv` it is `shift`, and of `shift/*.csv`, too.
    folder = Path(re.split(r"[*?[]", pattern, maxsplit=1)[0] + "x").parent
    return sorted(folder.glob(str(Path(pattern).relative_to(folder))))


class _Told:
    """A folder, and what its table says of its recordings."""

    def __init__(
        self, folder: Path, dataset: DataSet, settings: Mapping[str, float] | None
    ) -> None:
        self._folder = folder
        self._dataset = dataset
        # Where there are none, nobody has to say them.
        self._given = settings if dataset.settings else {}
        self._table = {} if self._given else self._read_table()

    def _read_table(self) -> dict[str, Mapping[str, float]]:
        try:
            file = run_table_file(self._folder, self._dataset)
        except ToolwearError:  # none is needed where settings are given, or for other files
            return {}
        if file is None:
            return {}
        runs, _ = read_run_table(file, self._dataset)
        return {run.run_id: run.settings for run in runs}

    def folder(self, scratch: Path) -> Iterator[Source]:
        if self._dataset.recordings.file:
            yield from self.divided(scratch)
            return
        found = run_files(self._folder, self._dataset)
        if found:
            yield from (self._source(path, n) for n, path in found.items())
            return
        files = [path for path in sorted(self._folder.iterdir()) if self._may_be_one(path)]
        if not files:
            raise ToolwearError(f"{self._folder} holds no recordings; give files, or a folder.")
        yield from (self._source(path, None) for path in files)

    def _may_be_one(self, path: Path) -> bool:
        return path.is_file() and may_be_read(path.name) and path.suffix not in (".toml", ".json")

    def divided(self, scratch: Path) -> Iterator[Source]:
        divided = recordings(self._folder, self._dataset, defaultdict(str), scratch)
        for run, path in divided.files.items():
            yield Source(path, divided.names[run], divided.dataset, self._said(run))

    def file(self, path: Path) -> Source:
        numbers = {}
        if not self._dataset.recordings.file:
            numbers = {p.name: n for n, p in run_files(self._folder, self._dataset).items()}
        return self._source(path, numbers.get(path.name))

    def _source(self, path: Path, number: int | None) -> Source:
        run = schema.run_id(number) if number is not None else ""
        return Source(path, str(path), self._dataset, self._said(run))

    def _said(self, run: str) -> Mapping[str, float] | None:
        return self._given or self._table.get(run) or self._given
