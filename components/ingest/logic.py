"""Which of the runs on hand can be used, and the table of those."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet
from toolwear.dataset.run_table import Run


def runs_schema(dataset: DataSet) -> pa.Schema:
    """Return the types of the table of runs."""
    return pa.schema(
        [
            (schema.RUN_ID, pa.string()),
            ("run_number", pa.int64()),
            (schema.MATERIAL, pa.string()),
            *((name, pa.float64()) for name in dataset.settings),
            (schema.SETTING, pa.string()),
            (schema.CONDITION, pa.string()),
            (schema.LABEL, pa.int8()),
            (schema.FINALIZED, pa.bool_()),
            (schema.INSPECTION, pa.bool_()),
            ("rows", pa.int64()),
            ("cutting_rows", pa.int64()),
            ("sha256", pa.string()),
        ]
    )


NO_FILE = "the table names it but there is no file"
NO_ROW = "there is a file but no label"
NO_LABEL = "its label is empty"


def matched(
    runs: Sequence[Run],
    files: Mapping[str, str],
    names: Mapping[str, str],
    passed_over: list[str],
) -> tuple[list[Run], list[dict[str, str]]]:
    """Return the runs that have both a label and a file, and those left out with the reason.

    A file that is there twice is refused rather than left out: one of its labels may be wrong,
    and the same rows in training and test would flatter every figure.

    Args:
        runs: rows of the table of runs.
        files: digests of the recordings by the keys of the runs.
        names: names of their files.
        passed_over: names of files that are not spelt as recordings.

    Raises:
        ToolwearError: two files are the same, or what is left can't be learnt from.
    """
    named = {run.run_id for run in runs}
    excluded = [
        {"run": run.run_id, "reason": NO_FILE if run.run_id not in files else NO_LABEL}
        for run in runs
        if run.run_id not in files or run.worn is None
    ]
    excluded += [{"run": run, "reason": NO_ROW} for run in files if run not in named]
    usable = [run for run in runs if run.run_id in files and run.worn is not None]
    owner: dict[str, str] = {}
    for run in usable:
        first = owner.setdefault(files[run.run_id], run.run_id)
        if first != run.run_id:
            raise ToolwearError(
                f"{names[first]} and {names[run.run_id]} are the same recording; remove the copy, "
                "or put the right one in its place."
            )
    if len(usable) < 2:
        raise ToolwearError(_too_few(usable, excluded, passed_over))
    found = {run.worn for run in usable if run.worn is not None}
    if len(found) < 2:
        raise ToolwearError(
            f"All runs are {schema.CLASSES[found.pop()]}; recordings that are {schema.WORN} and "
            f"ones that are {schema.UNWORN} are needed."
        )
    return usable, excluded


def _too_few(usable: list[Run], excluded: list[dict[str, str]], passed_over: list[str]) -> str:
    counts = Counter(entry["reason"] for entry in excluded)
    why = "".join(f"; of {count} more {reason}" for reason, count in counts.items())
    names = ", ".join(passed_over[:5]) + (", ..." if len(passed_over) > 5 else "")
    told = (
        f"; the files {names} were passed over, say how they are named in files under [recordings] "
        "in dataset.toml"
        if passed_over
        else ""
    )
    has = "1 run has" if usable else "No run has"
    return f"{has} a label in the table of runs and a file; at least two are needed{why}{told}."


def runs_table(
    runs: Sequence[Run],
    rows: Mapping[str, int],
    cutting: Mapping[str, int],
    digests: Mapping[str, str],
    dataset: DataSet,
) -> pa.Table:
    """Return the table of runs as typed columns, one row a run, in the order of their numbers.

    Args:
        runs: those with a label.
        rows: how many each has, by its key.
        cutting: how many of them count as cutting.
        digests: of their recordings.
        dataset: their contract.
    """
    records = [
        {
            schema.RUN_ID: run.run_id,
            "run_number": run.number,
            schema.MATERIAL: run.material,
            **run.settings,
            schema.SETTING: schema.setting(run.settings.values()),
            schema.CONDITION: None if run.worn is None else schema.CLASSES[run.worn],
            schema.LABEL: run.worn,
            schema.FINALIZED: run.finished,
            schema.INSPECTION: run.inspected,
            "rows": rows[run.run_id],
            "cutting_rows": cutting[run.run_id],
            "sha256": digests[run.run_id],
        }
        for run in runs
    ]
    return pa.Table.from_pylist(records, schema=runs_schema(dataset))
