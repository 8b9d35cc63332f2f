"""One pass over a data set: its telemetry batch by batch, then its runs and its signals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from great_expectations import ExpectationSuite

from components.validate import runs_suite, telemetry_suite
from components.validate.batches import Sampling, batches, distinct_schemas
from components.validate.docs import DataDocs
from components.validate.engine import Engine
from components.validate.logic import Example, Finding, Ledger
from components.validate.summaries import SIGNAL, Summaries, judge_runs
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.common.thresholds import Validation
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import DataSet

DOCS_ROWS = 30_000  # shown in the Data Docs, whose counting costs several times the checking
_TEXT = {pa.string(): pd.StringDtype(), pa.large_string(): pd.StringDtype()}


def check(
    telemetry: Path, thresholds: Validation, batch_rows: int, docs_folder: Path
) -> tuple[Ledger, pd.DataFrame]:
    """Run all suites and write the Data Docs.

    Values are checked only if columns and types are right: what cannot be asked is absent from
    the ledger rather than called right.

    Args:
        telemetry: Folder written by ingest.
        thresholds: The reviewed thresholds of validation.
        batch_rows: Rows held in memory at a time.
        docs_folder: Folder for the Data Docs. They show the first
            `DOCS_ROWS` rows, the runs and the signals.

    Returns:
        The ledger of all expectations, and one row a run with what was found of it.
    """
    path = telemetry / "runs.parquet"
    if not path.is_file():
        raise ToolwearError(f"{telemetry} holds no runs.parquet: give the folder that ingest wrote")
    runs = pd.read_parquet(path)
    inspector, dataset = _Inspector(docs_folder), contract.of(telemetry)
    schemas_hold = inspector.schema_holds(
        pq.read_schema(path), path, runs_suite.schema_suite(dataset)
    )
    for part, arrow in distinct_schemas(telemetry):
        schemas_hold &= inspector.schema_holds(arrow, part, telemetry_suite.schema_suite(dataset))
    if schemas_hold:
        suite = telemetry_suite.rows_suite(runs[schema.RUN_ID], thresholds, dataset)
        summaries = inspector.rows(batches(telemetry, batch_rows), suite, dataset)
        runs = judge_runs(runs, summaries.runs(), dataset)
        inspector.summary(runs, runs_suite.runs_suite(thresholds, dataset), schema.RUN_ID)
        of_signals = telemetry_suite.signals_suite(dataset.recordings.significant_digits)
        inspector.summary(summaries.signals(), of_signals, SIGNAL)
    inspector.docs.write()
    return inspector.ledger, runs


class _Inspector:
    """The engine, the ledger and the Data Docs that every suite of one pass goes through."""

    def __init__(self, docs_folder: Path) -> None:
        self.ledger = Ledger()
        self._engine = Engine()
        self.docs = DataDocs(self._engine, docs_folder)

    def schema_holds(self, arrow: pa.Schema, file: Path, suite: ExpectationSuite) -> bool:
        """Check columns and types as the file has them, before missing values change them."""
        # Without rows, text has a type only as pandas' own string type.
        nothing = arrow.empty_table().to_pandas(types_mapper=_TEXT.get)
        findings = self._engine.check(nothing, suite)
        for finding in findings:
            self.ledger.add(finding, (), file.name)
        return not any(finding.unexpected for finding in findings)

    def rows(
        self, tables: Iterable[pa.Table], suite: ExpectationSuite, dataset: DataSet
    ) -> Summaries:
        """Check all rows of the telemetry and return their summaries."""
        summaries, sampling = Summaries(dataset), Sampling()
        for table in tables:
            frame = sampling.add_to(table.to_pandas())
            if not summaries.rows:
                self.docs.add(frame.head(DOCS_ROWS), suite)
            for finding in self._engine.check(frame, suite):
                self.ledger.add(finding, _examples(finding, frame, schema.RUN_ID, schema.ROW))
            summaries.add(frame)
            report(f"{summaries.rows:,} rows checked")
        return summaries

    def summary(self, frame: pd.DataFrame, suite: ExpectationSuite, name: str) -> None:
        """Check a small table whose lines are named by the column `name`."""
        self.docs.add(frame, suite)
        for finding in self._engine.check(frame, suite, count_all=True):
            self.ledger.add(finding, _examples(finding, frame, name))


def _examples(
    finding: Finding, frame: pd.DataFrame, name: str, row: str | None = None
) -> Iterator[Example]:
    """Yield where a finding failed, with the value that stands there."""
    for position in finding.positions:
        number: Any = frame[row].iat[position] if row else None
        yield Example(
            str(frame[name].iat[position]),
            None if pd.isna(number) else int(number),
            str(frame[finding.check.column].iat[position]),
        )
