"""Input and output of the ingest step."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.core import jsonfile, schema
from components.core.digest import file_digest
from components.core.errors import ToolwearError
from components.core.steps import report
from components.ingest.logic import matched, runs_table
from components.ingest.quirks import Quirks, folded
from components.ingest.run_file import FileNotes, read_batches
from components.ingest.run_table import Run, read_run_table
from components.ingest.sources import Source, resolve, run_files, source_digest
from components.ingest.writer import PartWriter

_MENDABLE = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EACCES: "it may not be written; mend the permission",
    errno.EROFS: "it is on a read-only file system; choose another folder",
}


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
    output.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        (scratch / "made").mkdir()
        source = resolve(data, scratch / "made", allow_simulator=allow_simulator)
        digest = source_digest(source.folder)
        if data_digest and digest != data_digest:
            raise ToolwearError(
                "The recordings changed since the run was submitted; submit it again."
            )
        whole = scratch / "telemetry"
        whole.mkdir()
        manifest = _convert(source, digest, whole)
        shutil.rmtree(output, ignore_errors=True)
        whole.chmod(0o755)
        whole.replace(output)
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        raise ToolwearError(f"{output} can't be written: {_MENDABLE[error.errno]}.") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _convert(source: Source, digest: str, folder: Path) -> dict[str, Any]:
    table = read_run_table(source.folder / schema.RUN_TABLE_FILE)
    files = run_files(source.folder)
    digests = {number: file_digest(path) for number, path in files.items()}
    runs, excluded = matched(table, digests)
    quirks = Quirks(excluded=excluded)
    rows = {}
    with PartWriter(folder) as writer:
        for position, run in enumerate(runs, 1):
            rows[run.number] = _convert_run(run, files[run.number], writer, quirks)
            if position % 100 == 0:
                report(f"read {position} of {len(runs)} runs, {sum(rows.values()):,} rows")
    pq.write_table(runs_table(runs, rows, digests), folder / "runs.parquet")
    manifest = {
        "source": {"kind": source.kind, "location": source.location},
        "digest": digest,
        "rows": sum(rows.values()),
        "runs": len(runs),
        "quirks": quirks.as_json(),
        "warnings": source.warnings
        + [f"Run {entry['run']} was left out: {entry['reason']}." for entry in excluded],
    }
    for warning in manifest["warnings"]:
        report(str(warning))
    jsonfile.write(folder / "manifest.json", manifest)
    report(f"{manifest['rows']:,} rows of {len(runs)} runs from {source.kind} {source.location}")
    return manifest


def _convert_run(run: Run, path: Path, writer: PartWriter, quirks: Quirks) -> int:
    notes = FileNotes()
    rows = 0
    for batch in read_batches(path, notes):
        quirks.count(batch)
        writer.write(run.number, rows, folded(batch))
        rows += batch.num_rows
    writer.end_run()
    if notes.bare_carriage_returns:
        quirks.carriage_return_files.append(path.name)
    if notes.columns_reordered:
        quirks.reordered_files.append(path.name)
    return rows
