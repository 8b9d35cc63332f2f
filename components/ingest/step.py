"""Input and output of the ingest step."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.core import jsonfile, schema
from components.core.digest import combined_digest
from components.core.errors import ToolwearError
from components.core.steps import report
from components.ingest.disk import mendable
from components.ingest.logic import matched, runs_table
from components.ingest.quirks import Quirks, folded
from components.ingest.run_file import FileNotes, read_batches
from components.ingest.run_table import Run, read_run_table
from components.ingest.sources import Source, file_digests, misnamed_files, resolve, run_files
from components.ingest.writer import PartWriter

_REPORT_SECONDS = 2.0


def ingest(data: str, data_digest: str, *, allow_simulator: bool, output: Path) -> dict[str, Any]:
    """Read recordings into typed Parquet and return the manifest.

    Writes `part-*.parquet`, `runs.parquet` and `manifest.json` to `output`. The folder appears
    whole or not at all. Memory is bounded, whatever the size of a run.

    Args:
        data: folder of recordings; empty for Kaggle's copy, then the simulator.
        data_digest: digest that the recordings must have; empty to take them as they are.
        allow_simulator: whether the simulator may stand in.
        output: folder to make.

    Raises:
        ToolwearError: the recordings are missing or damaged, changed since the run was
            submitted, or the folder can't be written.
    """
    with mendable(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        # Beside the output, so that the last move is one rename.
        with tempfile.TemporaryDirectory(
            dir=output.parent, prefix=f".{output.name}.", ignore_cleanup_errors=True
        ) as folder:
            manifest = _ingest(data, data_digest, Path(folder), allow_simulator=allow_simulator)
            shutil.rmtree(output, ignore_errors=True)
            (Path(folder) / "telemetry").replace(output)
    return manifest


def _ingest(data: str, expected: str, scratch: Path, *, allow_simulator: bool) -> dict[str, Any]:
    source = resolve(data, scratch / "simulated", allow_simulator=allow_simulator)
    digests = file_digests(source.folder)
    if expected and combined_digest(digests) != expected:
        raise ToolwearError("the data changed since the run was submitted; submit the run again.")
    whole = scratch / "telemetry"
    whole.mkdir()
    return _convert(source, digests, whole)


def _convert(source: Source, digests: dict[str, str], folder: Path) -> dict[str, Any]:
    files = run_files(source.folder)
    file_digest_of = {number: digests[path.name] for number, path in files.items()}
    table = read_run_table(source.folder / schema.RUN_TABLE_FILE)
    runs, excluded = matched(table, file_digest_of)
    quirks = Quirks(excluded=excluded, misnamed_files=misnamed_files(source.folder))
    progress = _Progress(len(runs))
    rows = {}
    with PartWriter(folder) as writer:
        for run in runs:
            rows[run.number] = _convert_run(run, files[run.number], writer, quirks, progress)
    pq.write_table(runs_table(runs, rows, file_digest_of), folder / "runs.parquet")
    warnings = source.warnings + quirks.warnings()
    manifest = {
        "source": {"kind": source.kind, "location": source.location},
        "digest": combined_digest(digests),
        "rows": sum(rows.values()),
        "runs": len(runs),
        "quirks": quirks.as_json(),
        "warnings": warnings,
    }
    for warning in warnings:
        report(warning)
    # Last: a folder without it is no telemetry.
    jsonfile.write(folder / "manifest.json", manifest)
    report(f"{manifest['rows']:,} rows of {len(runs)} runs from {source.kind} {source.location}")
    return manifest


def _convert_run(
    run: Run, path: Path, writer: PartWriter, quirks: Quirks, progress: _Progress
) -> int:
    notes = FileNotes()
    rows = 0
    for batch in read_batches(path, notes):
        quirks.count(batch)
        writer.write(run.number, rows, folded(batch))
        rows += batch.num_rows
        progress.rows(batch.num_rows)
    writer.end_run()
    progress.runs += 1
    if notes.bare_carriage_returns:
        quirks.carriage_return_files.append(path.name)
    if notes.columns_reordered:
        quirks.reordered_files.append(path.name)
    return rows


class _Progress:
    """Tells every two seconds how far the reading has come, also within one long run."""

    def __init__(self, total: int) -> None:
        self.runs = 0
        self._total, self._rows, self._told = total, 0, time.monotonic()

    def rows(self, count: int) -> None:
        self._rows += count
        if time.monotonic() - self._told >= _REPORT_SECONDS:
            self._told = time.monotonic()
            report(f"read {self._rows:,} rows; {self.runs} of {self._total} runs are done")
