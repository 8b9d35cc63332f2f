"""Looks at files of which nothing is known yet: which recordings they hold, and what columns are.

What is found is a guess for a person to check; `proposal` writes it down as a `dataset.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from toolwear.common.errors import ToolwearError
from toolwear.dataset import contract
from toolwear.dataset.contract import Format
from toolwear.dataset.nulls import SPELLINGS
from toolwear.dataset.run_file import is_parquet
from toolwear.dataset.sources import may_be_read
from toolwear.dataset.text_format import WHITE_SPACE, text_format
from toolwear.dataset.text_stream import unpacked

_FILES = 8  # recordings that are looked into, evenly spaced
_ROWS = 50_000  # of each of them
_ALL_ROWS = 1_000_000  # of a file that holds them all
_FEWEST_ROWS = 10  # of a recording
_MOST_PHASES = 40
_TIME = re.compile(r"time|stamp|date|clock|elapsed|second|(^|_)t(_|$)|(^|_)(ms|sec|s)$", re.I)
_INDEX = re.compile(r"^(unnamed.*|index|row.*|sample.*|nr|no|n|)$", re.I)
_ID = re.compile(
    r"tool|run|rec|id$|case|exp|unit|trial|part|piece|test|number|nr$|no$|werkzeug", re.I
)
_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?", re.I)
_MILLI = re.compile(r"(^|[^a-z])(ms|msec|milli\w*)([^a-z]|$)", re.I)


@dataclass(frozen=True)
class Layout:
    """Which files hold the recordings.

    Attributes:
        files: name with {id}, where each has a file; else empty.
        file: name of the one that holds all; else empty.
        id: its column with their numbers.
        table: name of a file with one row a recording; empty if there is none.
        number: its column with their numbers.
        rows: rows of some recordings, with `RECORDING`.
        runs: rows of the table; empty without one.
        recordings: how many there are, as far as was read.
    """

    files: str
    file: str
    id: str
    table: str
    number: str
    rows: pd.DataFrame
    runs: pd.DataFrame
    recordings: int


RECORDING = "\0recording"  # in `rows`: its number; no file has such a column


def look(path: Path) -> Layout:
    """Return which recordings a folder or a file holds.

    Raises:
        ToolwearError: there are none, or which row is of which recording can't be told.
    """
    files = _files(path)
    several = _numbered(files)
    if several:
        pattern, numbered = several
        chosen = list(numbered.items())[:: -(-len(numbered) // _FILES)]
        parts = [read(file, _ROWS).assign(**{RECORDING: number}) for number, file in chosen]
        rows = pd.concat(parts, ignore_index=True)
        others = [file for file in files if file not in set(numbered.values())]
        table, number, runs = _table(others, set(numbered))
        return Layout(pattern, "", "", table, number, rows, runs, len(numbered))
    whole = max(files, key=lambda file: file.stat().st_size)
    rows = read(whole, _ALL_ROWS)
    column = _id_column(rows, whole)
    rows[RECORDING] = rows[column]
    ids = set(rows[column].astype(int))
    table, number, runs = _table([file for file in files if file != whole], ids)
    return Layout("", whole.name, column, table, number, rows, runs, len(ids))


def read(path: Path, rows: int) -> pd.DataFrame:
    """Return the first rows of a file of which nothing is known.

    Raises:
        ToolwearError: it can't be read.
    """
    if is_parquet(path):
        try:
            batches = pq.ParquetFile(path).iter_batches(min(rows, 65_536))
            some = list(islice(batches, -(-rows // 65_536)))
            table = pa.Table.from_batches(some).to_pandas().head(rows)
            return table.rename(columns=lambda name: str(name).strip())
        except (pa.ArrowException, OSError) as error:
            raise ToolwearError(f"{path.name} can't be read as Parquet ({error}).") from None
    found = text_format(path, Format(), ())
    try:
        with unpacked(path, found.compression) as stream:
            frame: pd.DataFrame = pd.read_csv(
                stream,
                sep=r"\s+" if found.separator == WHITE_SPACE else found.separator,
                decimal=found.decimal,
                encoding=found.encoding,
                skiprows=found.header_line - 1,
                nrows=rows,
                na_values=list(SPELLINGS),
                skipinitialspace=True,
                low_memory=False,
            )
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ToolwearError(f"{path.name} can't be read as CSV ({error}).") from None
    frame = frame.rename(columns=lambda name: str(name).strip())
    if all(_NUMBER.fullmatch(name) for name in frame.columns):
        raise ToolwearError(
            f"{path.name} begins with numbers; its first line has to hold the names of the columns."
        )
    return frame


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ToolwearError(f"There is no folder or file {path}; give that of the recordings.")
    ours = (contract.FILE, contract.SIMULATED_FILE)
    found = [
        file
        for file in sorted(path.iterdir())
        if file.is_file() and file.name not in ours and may_be_read(file.name)
    ]
    if not found:
        raise ToolwearError(
            f"{path} holds no file that could be recordings: .csv, .tsv, .txt, .dat or .parquet, "
            "as they are or packed; other formats have to be exported to one of them."
        )
    return found


def _numbered(files: Sequence[Path]) -> tuple[str, dict[int, Path]] | None:
    """Return the largest group of files that differ by one number, if there are two of a kind."""
    groups: dict[str, dict[int, Path]] = {}
    for file in files:
        stem, dot, ending = file.name.partition(".")
        for match in re.finditer(r"\d{1,9}", stem):
            pattern = f"{stem[: match.start()]}{contract.ID}{stem[match.end() :]}{dot}{ending}"
            groups.setdefault(pattern, {}).setdefault(int(match[0]), file)
    pattern = max(groups, key=lambda name: len(groups[name]), default="")
    if not pattern or len(groups[pattern]) < 2:
        return None
    return pattern, dict(sorted(groups[pattern].items()))


def _table(files: Sequence[Path], ids: set[int]) -> tuple[str, str, pd.DataFrame]:
    """Return name, column of numbers and rows of the file that has a row for most recordings."""
    for file in files:
        frame = read(file, _ALL_ROWS)
        for column in frame.columns:
            if not _whole(frame[column]) or frame[column].duplicated().any():
                continue
            numbers = set(frame[column].astype(int))
            if 2 * len(numbers & ids) > len(ids):
                return file.name, str(column), frame
    return "", "", pd.DataFrame()


def _id_column(rows: pd.DataFrame, file: Path) -> str:
    """Return the column that divides a file: whole numbers that stand in blocks of rows."""
    found = []
    for column in rows.columns:
        if not _whole(rows[column]):
            continue
        values = rows[column].to_numpy()
        blocks = int(np.count_nonzero(np.diff(values))) + 1
        kinds = len(np.unique(values))
        if 2 <= kinds == blocks and len(values) >= _FEWEST_ROWS * kinds:
            found.append((bool(_ID.search(str(column))), -kinds, str(column)))
    if not found:
        raise ToolwearError(
            f"No column of {file.name} tells which rows are of one recording: it would hold whole "
            "numbers, each in one block of rows. Give each recording a file with its number in the "
            "name, or add such a column."
        )
    return max(found)[2]


def _whole(values: pd.Series) -> bool:
    if values.dtype.kind in "iu":
        return bool((values >= 0).all())
    if values.dtype.kind != "f" or values.isna().any() or np.isinf(values).any():
        return False
    return bool((values == values.round()).all() and (values >= 0).all())


@dataclass(frozen=True)
class Columns:
    """What the columns of the recordings are.

    Attributes:
        signals: numbers that differ.
        ignored: further columns, and why each says nothing.
        phases: text that says what the machine is doing; empty if there is none.
        period: seconds from a row to the next; None if no column tells.
        clock: the column that tells.
    """

    signals: tuple[str, ...]
    ignored: dict[str, str]
    phases: str
    period: float | None
    clock: str


def columns_of(rows: pd.DataFrame, apart: Sequence[str]) -> Columns:
    """Return what each column is.

    Args:
        rows: of some recordings, with `RECORDING`.
        apart: columns that were told already, such as the label.
    """
    signals, ignored = list[str](), dict[str, str]()
    phases, clock = "", ""
    period: float | None = None
    for name in rows.columns:
        values = rows[name]
        if name in apart or name == RECORDING:
            continue
        step = _period(str(name), values, rows[RECORDING])
        if step is not None:
            ignored[name] = "time"
            if period is None:
                period, clock = step, str(name)
        elif why := _says_nothing(str(name), values):
            ignored[name] = why
        elif values.dtype.kind in "iuf":
            signals.append(name)
        elif not phases and values.nunique() <= _MOST_PHASES:
            phases = str(name)
        else:
            ignored[name] = "text"
    return Columns(tuple(signals), ignored, phases, period, clock)


def _says_nothing(name: str, values: pd.Series) -> str:
    """Return why a column can't be used; empty if it may be."""
    known, missing = values.nunique(), int(values.isna().sum())
    if known < 2:
        return "always the same" if known else "empty"
    if values.dtype.kind not in "iuf":
        return ""
    if missing:
        return f"lacks {missing:,} of {len(values):,} numbers"
    return "counts the rows" if _INDEX.fullmatch(name) and values.is_monotonic_increasing else ""


def _period(name: str, values: pd.Series, recording: pd.Series) -> float | None:
    """Return the usual step of a column that is a clock, in seconds; None if it is none."""
    if not _TIME.search(name):
        return None
    if values.dtype.kind == "M":
        seconds = (values - values.min()).dt.total_seconds()
    elif values.dtype.kind in "iuf":
        seconds = values / 1000 if _MILLI.search(name) else values
    else:
        stamps = pd.to_datetime(values, errors="coerce", format="ISO8601", utc=True)
        seconds = (stamps - stamps.min()).dt.total_seconds()
    steps = seconds.groupby(recording).diff().dropna()
    if steps.empty or (steps < 0).any() or steps.median() <= 0:
        return None
    return float(f"{steps.median():.6g}")
