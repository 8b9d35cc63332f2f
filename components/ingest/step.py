"""Input and output of the ingest step."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.ingest.logic import matched, runs_table
from toolwear.common import jsonfile
from toolwear.common.digest import combined_digest
from toolwear.common.disk import mendable
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.dataset import contract
from toolwear.dataset.contract import DataSet
from toolwear.dataset.cutting import CuttingTally, no_cutting
from toolwear.dataset.quirks import Quirks, folded
from toolwear.dataset.recordings import Recordings, recordings
from toolwear.dataset.run_file import FileNotes, several_sentence
from toolwear.dataset.run_table import Run, read_run_table, stretched
from toolwear.dataset.sources import (
    Source,
    file_digests,
    misnamed_files,
    resolve,
    run_table_file,
)
from toolwear.dataset.writer import PartWriter

_REPORT_SECONDS = 2.0


def ingest(
    data: str, data_digest: str, *, allow_simulator: bool, output: Path, dataset: str = ""
) -> dict[str, Any]:
    """Read recordings into typed Parquet and return the manifest.

    Writes `part-*.parquet`, `runs.parquet` and `manifest.json` to `output`. The folder appears
    whole or not at all. Memory is bounded, whatever the size of a run.

    Args:
        data: folder of recordings; empty for Kaggle's copy, then the simulator.
        data_digest: digest that the recordings must have; empty to take them as they are.
        allow_simulator: whether the simulator may stand in.
        output: folder to make.
        dataset: the contract that reads them, as `contract.named` takes it; empty for the
            dataset.toml beside them, else the mill's.

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
            scratch = Path(folder)
            given = contract.resolve(dataset, None)
            source = resolve(
                data,
                given.dataset.kaggle,
                scratch / "simulated",
                allow_simulator=allow_simulator,
            )
            manifest = _ingest(
                source, contract.resolve(dataset, source.folder), data_digest, scratch
            )
            shutil.rmtree(output, ignore_errors=True)
            (Path(folder) / "telemetry").replace(output)
    return manifest


def _ingest(source: Source, dataset: DataSet, expected: str, scratch: Path) -> dict[str, Any]:
    digests = file_digests(source.folder, dataset)
    digest = combined_digest(digests)
    if expected and digest != expected:
        raise ToolwearError("the data changed since the run was submitted; submit the run again.")
    whole, divided = scratch / "telemetry", scratch / "divided"
    whole.mkdir()
    divided.mkdir()
    table_file = run_table_file(source.folder, dataset)
    table, written = read_run_table(table_file, dataset) if table_file else ([], "")
    found = recordings(source.folder, dataset, digests, divided, by_label=True)
    reading = _Reading(found, dataset, whole)
    if table_file:
        reading.note_format(table_file.name, written)
    reading.quirks.misnamed_files = misnamed_files(source.folder, dataset)
    manifest = reading.convert(stretched(table, found.labels) if found.labels else table)
    warnings = source.warnings + manifest["warnings"]
    manifest |= {
        "source": {"kind": source.kind, "location": source.location},
        "digest": digest,
        "dataset": dataset.model_dump(mode="json"),
        "warnings": warnings,
    }
    for warning in warnings:
        report(warning)
    # Last: a folder without it is no telemetry.
    jsonfile.write(whole / "manifest.json", manifest)
    told = f"{manifest['rows']:,} rows of {manifest['runs']} runs"
    report(f"{told} from {source.kind} {source.location}")
    return manifest


class _Reading:
    """Recordings on their way into typed Parquet, and what is noted of them."""

    def __init__(self, found: Recordings, dataset: DataSet, folder: Path) -> None:
        self.quirks = Quirks(dataset)
        self._found = found
        self._dataset = dataset
        self._folder = folder
        self._cutting = CuttingTally(dataset.rows.cutting)
        self._formats: dict[str, list[str]] = {}

    def note_format(self, name: str, told: str) -> None:
        """Note how a file is written."""
        self._formats.setdefault(told, []).append(name)

    def convert(self, table: list[Run]) -> dict[str, Any]:
        """Write the runs that have a label, look at those that have none, and return the notes."""
        found = self._found
        runs, excluded = matched(table, found.digests, found.names, self.quirks.misnamed_files)
        self.quirks.excluded = excluded
        rows, cutting = {}, {}
        progress = _Progress(len(runs))
        period = self._dataset.recordings.sample_period_seconds
        with PartWriter(self._folder, period) as writer:
            for run in runs:
                rows[run.run_id], cutting[run.run_id] = self._run(run, writer, progress)
        labelled = {run.run_id for run in runs}
        unlabelled = [self._unlabelled(run) for run in found.files if run not in labelled]
        kept = runs_table(runs, rows, cutting, found.digests, self._dataset)
        pq.write_table(kept, self._folder / "runs.parquet")
        if found.notes is not None:
            self._note(self._dataset.recordings.file, found.notes)
        for told, names in self._formats.items():
            report(f"{len(names)} files were read as: {told}")
        limits = self._cutting.as_json()
        warnings = self.quirks.warnings()
        warnings += [entry["fault"] for entry in unlabelled if entry["fault"]]
        warnings += [sentence] if (sentence := no_cutting(limits)) else []
        return {
            "rows": sum(rows.values()),
            "runs": len(runs),
            "unlabelled": unlabelled,
            "formats": [{"format": told, "files": n} for told, n in self._formats.items()],
            "cutting": limits,
            "quirks": self.quirks.as_json(),
            "warnings": warnings,
        }

    def _run(self, run: Run, writer: PartWriter, progress: _Progress) -> tuple[int, int]:
        notes = FileNotes()
        rows = cutting = 0
        before = self._found.before.get(run.run_id, 0)
        for batch in self._found.read(run.run_id, notes):
            self.quirks.count(batch)
            cutting += self._cutting.count(batch)
            writer.write(run.run_id, rows, folded(batch, self._dataset.phases), before)
            rows += batch.num_rows
            progress.rows(batch.num_rows)
        writer.end_run()
        progress.runs += 1
        name = self._found.names[run.run_id]
        if notes.several:
            raise ToolwearError(several_sentence(name, notes))
        if self._found.notes is None:
            self._note(name, notes)
        return rows, cutting

    def _note(self, name: str, notes: FileNotes) -> None:
        self.note_format(name, notes.format)
        self.quirks.passed_over_columns.update(notes.passed_over)
        if notes.bare_carriage_returns:
            self.quirks.carriage_return_files.append(name)
        if notes.columns_reordered:
            self.quirks.reordered_files.append(name)

    def _unlabelled(self, run: str) -> dict[str, Any]:
        """Read a recording that nothing may learn from, and return what there is to say of it."""
        notes, rows, fault = FileNotes(), 0, ""
        name = self._found.names[run]
        try:
            for batch in self._found.read(run, notes):
                rows += batch.num_rows
            fault = several_sentence(name, notes) if notes.several else ""
        except ToolwearError as error:
            fault = str(error)  # it stops no run: it would not have been a part of it
        return {"run": run, "file": name, "rows": rows, "fault": fault}


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
