"""Verdicts of the champion on recordings, printed or written."""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from serving.console.recordings import dataset as contract_of_the_latest
from toolwear.common import words
from toolwear.common.errors import EXIT_FAILURE, ToolwearError
from toolwear.dataset import schema
from toolwear.model.abstention import ANSWERS, NOT_SURE, VERDICTS
from toolwear.model.judged import Judged
from toolwear.release import champion as pointer
from toolwear.scoring.logic import NO_WINDOW, RowSink, Scorer
from toolwear.scoring.reading import usable
from toolwear.scoring.sources import Source, settings_of, sources
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
_PARQUET = (".parquet", ".pq")
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

    Raises:
        ToolwearError: there is no champion, nothing by a name, or a file to write is there already.
        SystemExit: a recording could not be scored.
    """
    for file in (table, rows):
        if file is not None and file.exists():
            raise ToolwearError(f"{file} is there already; give another name, so none is lost.")
    given = settings_of(settings)
    champion, package = pointer.read_package(home.root)
    known = contract_of_the_latest(home)
    model = {
        "model": champion.name,
        "version": champion.version,
        "package": package.digest,
        "use": package.description["use"],
    }
    scorer = Scorer(package, known.rows.judged)
    found: list[dict[str, Any]] = []
    faults: list[str] = []
    with ExitStack() as stack:
        divided = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toolwear-")))
        write = stack.enter_context(_rows_file(rows)) if rows is not None else None
        for source in sources(paths, dataset, known, given, divided):
            try:
                # What is told of the work is no part of the answer.
                with console.status(source.name), redirect_stdout(sys.stderr):
                    record = _scored(scorer, source, write) | model
            except ToolwearError as error:
                faults.append(str(error))
                continue
            found.append(record)
            if as_json:
                sys.stdout.write(orjson.dumps(record).decode() + "\n")
                sys.stdout.flush()
    if found and not as_json:
        _print(found, model, console)
    if table is not None and found:
        _write_table(table, found)
    for fault in faults:
        print(f"toolwear: {fault}", file=sys.stderr)
    if faults:
        sys.exit(EXIT_FAILURE)


def _scored(scorer: Scorer, source: Source, rows: _RowsFile | None) -> dict[str, Any]:
    settings = source.stated()
    sink = rows.sink(source.name) if rows is not None else None
    with tempfile.TemporaryDirectory(prefix="toolwear-") as scratch:
        batches = usable(source.path, source.dataset, source.name)
        result = scorer.score(batches, settings, Path(scratch), sink)
    return {
        "recording": source.name,
        "verdict": result.verdict,
        **{name: round(share, 6) for name, share in result.shares.items()},
        "judged_rows": result.judged,
        "rows": result.rows,
        **settings,
        "restored_order": result.restored,
        "not_sure_because": dict(result.reasons),
        "warnings": list(result.warnings),
    }


def _print(found: Sequence[dict[str, Any]], model: dict[str, str], console: Console) -> None:
    shown = Table()
    for column in ("recording", "verdict", *_WORDS, "judged rows", *schema.SETTING_COLUMNS):
        name = column.replace("_", " ")
        shown.add_column(name, justify="left" if column in ("recording", "verdict") else "right")
    for record in found:
        shares = [f"{record[name]:.1%}" for name in _WORDS]
        settings = [f"{record[name]:g}" for name in schema.SETTING_COLUMNS]
        said = _WORDS[record["verdict"]] or record["verdict"]
        shown.add_row(record["recording"], said, *shares, f"{record['judged_rows']:,}", *settings)
    console.print(shown)
    for record in found:
        for text in _remarks(record):
            console.print(f"{record['recording']}: {text}", soft_wrap=True)
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
    with path.open("x", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)


class _RowsFile:
    """Answers to rows, appended recording by recording."""

    def __init__(self, writer: pq.ParquetWriter | pc.CSVWriter) -> None:
        self._writer = writer

    def sink(self, name: str) -> RowSink:
        """Return what takes the rows of a recording of this name."""

        def take(rows: pd.DataFrame, found: Judged, worn: np.ndarray) -> None:
            answers = np.array([VERDICTS[answer] for answer in ANSWERS], dtype=object)
            said = [found.reasons.get(row, "") for row in range(len(worn))]
            columns = {
                "recording": pa.repeat(name, len(worn)),
                schema.ROW: rows[schema.ROW].to_numpy(),
                "verdict": answers[found.codes],
                "probability": pa.array(worn, from_pandas=True),
                "reason": np.where(np.isnan(worn), NO_WINDOW, said),
            }
            self._writer.write_table(pa.table(columns, schema=_ROWS))

        return take


@contextmanager
def _rows_file(path: Path) -> Iterator[_RowsFile]:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pq.ParquetWriter if path.suffix in _PARQUET else pc.CSVWriter
    with kind(path, _ROWS) as writer:
        yield _RowsFile(writer)
