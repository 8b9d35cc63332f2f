"""Which of the runs on hand can be used, and the table of those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from components.core import schema
from components.core.errors import ToolwearError
from components.ingest.run_table import Run

RUNS = pa.schema(
    [
        (schema.RUN_ID, pa.string()),
        ("run_number", pa.int64()),
        (schema.MATERIAL, pa.string()),
        (schema.FEEDRATE, pa.float64()),
        (schema.CLAMP_PRESSURE, pa.float64()),
        (schema.SETTING, pa.string()),
        (schema.CONDITION, pa.string()),
        (schema.LABEL, pa.int8()),
        (schema.FINALIZED, pa.bool_()),
        (schema.INSPECTION, pa.bool_()),
        ("rows", pa.int64()),
        ("sha256", pa.string()),
    ]
)


def matched(
    runs: Sequence[Run], files: Mapping[int, str]
) -> tuple[list[Run], list[dict[str, str]]]:
    """Return the runs that have both a label and a file, and those left out with the reason.

    A file that is there twice is refused rather than left out: one of its labels may be wrong,
    and the same rows in training and test would flatter every figure.

    Args:
        runs: rows of the table of runs.
        files: digests of the run files by run number.

    Raises:
        ToolwearError: two files are the same, or what is left can't be learnt from.
    """
    excluded = [
        {"run": run.run_id, "reason": "the table names it but there is no file"}
        for run in runs
        if run.number not in files
    ]
    named = {run.number for run in runs}
    excluded += [
        {"run": schema.run_id(number), "reason": "there is a file but no label"}
        for number in files
        if number not in named
    ]
    usable = [run for run in runs if run.number in files]
    owner: dict[str, int] = {}
    for run in usable:
        first = owner.setdefault(files[run.number], run.number)
        if first != run.number:
            names = [schema.RUN_FILE_PATTERN.format(number=n) for n in (first, run.number)]
            raise ToolwearError(
                f"{names[0]} and {names[1]} are the same file; remove the copy, or put the right "
                "recording in its place."
            )
    if len(usable) < 2:
        raise ToolwearError(
            f"{len(usable) or 'No'} run has both a row in {schema.RUN_TABLE_FILE} and a file; at "
            "least two are needed."
        )
    classes = {run.condition for run in usable}
    if len(classes) < 2:
        raise ToolwearError(
            f"All runs are {classes.pop()}; recordings with worn and with unworn tools are needed."
        )
    return usable, excluded


def runs_table(
    runs: Sequence[Run], rows: Mapping[int, int], digests: Mapping[int, str]
) -> pa.Table:
    """Return the table of runs as typed columns, one row a run, in the order of their numbers."""
    records = [
        {
            schema.RUN_ID: run.run_id,
            "run_number": run.number,
            schema.MATERIAL: run.material,
            schema.FEEDRATE: run.feedrate,
            schema.CLAMP_PRESSURE: run.clamp_pressure,
            schema.SETTING: schema.setting(run.feedrate, run.clamp_pressure),
            schema.CONDITION: run.condition,
            schema.LABEL: run.worn,
            schema.FINALIZED: run.finalized,
            schema.INSPECTION: run.inspection,
            "rows": rows[run.number],
            "sha256": digests[run.number],
        }
        for run in runs
    ]
    return pa.Table.from_pylist(records, schema=RUNS)
