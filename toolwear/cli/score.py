"""Verdicts of the champion on recordings, printed or written."""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from toolwear.client import Client, ServiceError
from toolwear.common import words
from toolwear.common.disk import mendable, whole
from toolwear.common.errors import EXIT_FAILURE, ToolwearError
from toolwear.dataset import schema
from toolwear.model.abstention import NOT_SURE, VERDICTS
from toolwear.model.judged import Judged
from toolwear.release.scored import ChampionScorer
from toolwear.scoring.known import known_contract
from toolwear.scoring.sources import Source, settings_of, sources
from toolwear.scoring.verdict import answers
from toolwear.workspace.home import Home

_ROWS = pa.schema(
    [
        ("recording", pa.string()),
        (schema.ROW, pa.int64()),
        ("verdict", pa.string()),
        ("probability", pa.float64()),
        ("reason", pa.string()),
    ]
)
_Scored = Callable[[Source, "_RowsFile | None"], dict[str, Any]]
_CSV, _PARQUET = ".csv", (".parquet", ".pq")
_WORDS = {**dict.fromkeys(VERDICTS.values()), "not_sure": "not sure"}


def score(
    home: Home,
    paths: Sequence[str],
    console: Console,
    *,
    dataset: str = "",
    settings: str = "",
    as_json: bool = False,
    table: Path | None = None,
    rows: Path | None = None,
    url: str = "",
) -> None:
    """Print what the champion says of recordings; those that can't be read are told at the end.

    Args:
        home: with the champion.
        paths: files, folders or patterns.
        console: to print on.
        dataset: name or path of the contract that reads them; empty: the folder's own, else that
            of the last training.
        settings: of all of them, such as `feedrate=6,clamp_pressure=4`; empty: as in their table.
        as_json: print one JSON object a line instead of a table.
        table: CSV file for the verdicts.
        rows: CSV or Parquet file for the answer to each row.
        url: of the service, which is asked instead of the champion of the home.

    Raises:
        ToolwearError: there is no champion, nothing by a name, or a file to write is there already
            or can't be.
        SystemExit: a recording could not be scored.
    """
    _check_new(table, rows)
    if url and dataset:
        raise ToolwearError("The service reads recordings by its own contract; drop --dataset.")
    known = known_contract(home)
    # The service holds the contract that names them, and refuses what is wrong.
    given = settings_of(settings, None if url else known)
    found: list[dict[str, Any]] = []
    faults: list[str] = []
    stated: dict[str, None] = {}

    def told(source: Source) -> dict[str, Any]:
        record = scored(source, write)
        stated.update(dict.fromkeys(source.stated()))
        return record

    with ExitStack() as stack:
        service = stack.enter_context(Client(url)) if url else None
        scored = _by_service(service) if service else _by_champion(home)
        divided = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toolwear-")))
        write = stack.enter_context(_rows_file(rows)) if rows is not None else None
        given_sources = sources(paths, dataset, known, given, divided)
        for record in _each(given_sources, told, console, faults):
            found.append(record)
            if as_json:
                sys.stdout.write(orjson.dumps(record).decode() + "\n")
                sys.stdout.flush()
    if found and not as_json:
        _print(found, [*stated], console)
    if table is not None and found:
        _write_table(table, found)
    if faults:
        print(*(f"toolwear: {fault}" for fault in faults), sep="\n", file=sys.stderr)
        sys.exit(EXIT_FAILURE)


def _check_new(table: Path | None, rows: Path | None) -> None:
    """Make the folders of files to write, before the work rather than after it."""
    for file in (table, rows):
        if file is None:
            continue
        if file.exists():
            raise ToolwearError(f"{file} is there already; give another name, so none is lost.")
        with mendable(file):
            file.parent.mkdir(parents=True, exist_ok=True)
    if rows is not None and rows.suffix not in (_CSV, *_PARQUET):
        raise ToolwearError(
            f"The answers to rows are written to a {_CSV} or {_PARQUET[0]} file, not to {rows}; "
            "give another name."
        )


def _each(
    given: Iterator[Source],
    scored: Callable[[Source], dict[str, Any]],
    console: Console,
    faults: list[str],
) -> Iterator[dict[str, Any]]:
    """Yield the records; what can't be scored goes to `faults`."""
    for source in given:
        try:
            # What is told of the work is no part of the answer.
            with console.status(source.name), redirect_stdout(sys.stderr):
                record = scored(source)
        except ToolwearError as error:
            faults.append(str(error))
        else:
            yield record


def _by_champion(home: Home) -> _Scored:
    """Return what scores a recording by the champion of a home."""
    champion = ChampionScorer(home)

    def scored(source: Source, rows: _RowsFile | None) -> dict[str, Any]:
        def take(frame: pd.DataFrame, found: Judged, worn: np.ndarray) -> None:
            if rows is not None:
                rows.write(source.name, answers(frame, found, worn))

        return champion.score(source, take if rows is not None else None)

    return scored


def _by_service(service: Client) -> _Scored:
    """Return what has a recording scored by a service."""

    def scored(source: Source, rows: _RowsFile | None) -> dict[str, Any]:
        try:
            record = service.score(source.path, source.stated(), rows=rows is not None)
        except ServiceError as error:
            raise ToolwearError(f"{source.name}: {error.sentence}") from None
        told = record.pop("answers", None)
        if rows is not None and told:
            rows.write(source.name, {key: [row[key] for row in told] for key in told[0]})
        return record | {"recording": source.name}

    return scored


def _print(found: Sequence[dict[str, Any]], settings: Sequence[str], console: Console) -> None:
    folders = {Path(record["recording"]).parent for record in found}
    shared = folders.pop() if len(folders) == 1 else Path()
    if shared != Path():
        console.print(f"in {shared}:", soft_wrap=True)
    # So that the table has room in 80 columns, without a recording's name cut off.
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    shown.add_column("recording", overflow="fold")
    shown.add_column("verdict", no_wrap=True)
    for column in (*_WORDS, "judged_rows", *settings):
        shown.add_column(column.replace("_", "\n"), justify="right", no_wrap=True)
    for record in found:
        shares = [f"{record[name]:.1%}" for name in _WORDS]
        stated = [f"{record[name]:g}" if name in record else "" for name in settings]
        said = _WORDS[record["verdict"]] or record["verdict"]
        name = str(Path(record["recording"]).relative_to(shared))
        shown.add_row(name, said, *shares, f"{record['judged_rows']:,}", *stated)
    console.print(shown)
    for record in found:
        for text in _remarks(record):
            console.print(f"{record['recording']}: {text}", soft_wrap=True)
    model = found[-1]
    console.print(
        f"{model['model']} version {model['version']}, approved for {words.use(model['use'])}. "
        f"{words.warning(model['use'])}",
        soft_wrap=True,
    )


def _remarks(record: dict[str, Any]) -> Iterator[str]:
    reasons = record["not_sure_because"]
    if record["verdict"] == VERDICTS[NOT_SURE]:
        most = max(reasons, key=lambda reason: reasons[reason])
        yield f"not sure of {sum(reasons.values()):,} rows, mostly because {most}"
    yield from record["warnings"]


def _write_table(path: Path, found: Sequence[dict[str, Any]]) -> None:
    flat = [
        {
            **record,
            "not_sure_because": "; ".join(record["not_sure_because"]),
            "warnings": "; ".join(record["warnings"]),
        }
        for record in found
    ]
    with whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)


class _RowsFile:
    """Answers to rows, appended recording by recording."""

    def __init__(self, writer: pq.ParquetWriter | pc.CSVWriter) -> None:
        self._writer = writer

    def write(self, name: str, columns: Mapping[str, Any]) -> None:
        """Add rows of the recording of this name; see `answers`."""
        probability = pa.array(columns["probability"], from_pandas=True)
        named = {"recording": pa.repeat(name, len(probability)), **columns}
        self._writer.write_table(pa.table(named | {"probability": probability}, schema=_ROWS))


@contextmanager
def _rows_file(path: Path) -> Iterator[_RowsFile]:
    kind = pq.ParquetWriter if path.suffix in _PARQUET else pc.CSVWriter
    with whole(path) as partial, kind(partial, _ROWS) as writer:
        yield _RowsFile(writer)
