"""The features step: telemetry in, feature tables, training set and manifest out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from components.features.parts import PartWriter, write
from toolwear.common import jsonfile
from toolwear.common.digest import files_digest, json_digest
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.common.steps import report
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import key_columns
from toolwear.dataset.cutting import no_cutting
from toolwear.features.definitions import definitions
from toolwear.features.logic import check_parameters, newest, samples
from toolwear.features.names import LATEST_FILE
from toolwear.features.recording import recording
from toolwear.features.telemetry import read_rows, read_runs

# What a feature's value depends on.
_CODE = (
    "toolwear/dataset/schema.py",
    *(
        f"toolwear/features/{name}.py"
        for name in ("definitions", "windows", "compute", "pieces", "order", "logic", "recording")
    ),
)


def features(
    telemetry: Path, restore_order: bool, window: int, stride: int, output: Path
) -> dict[str, Any]:
    """Write the features of all rows, the training set joined from them, and the newest rows.

    Args:
        telemetry: output folder of the ingest step.
        restore_order: restore the time order of rows stored in shuffled batches.
        window: cutting rows in a trailing window; 0: as the data set's contract says.
        stride: distance in cutting rows of the windows that become samples; 0: likewise.
        output: folder to make.

    Returns:
        The manifest.

    Raises:
        ToolwearError: window or stride cannot be, or no row counts as cutting.
    """
    dataset = contract.of(telemetry)
    window, stride = window or dataset.features.window_rows, stride or dataset.features.stride_rows
    made = definitions(dataset)
    kept = [schema.RUN_ID, schema.EVENT_TIME, schema.SAMPLE_ID, *made.columns]
    source = jsonfile.read(telemetry / "manifest.json")
    if sentence := no_cutting(source["cutting"]):
        raise ToolwearError(sentence)
    runs = read_runs(telemetry)
    check_parameters(window, stride, max(run.rows for run in runs.values()))
    orders: dict[str, Any] = {}
    windows: dict[str, int] = {}
    latest: list[tuple[Any, ...]] = []
    output.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=output) as folder:  # as roomy as the output itself
        scratch = Path(folder)
        writer = PartWriter(output, scratch, dataset)
        for run_id, pieces in read_rows(telemetry, dataset):
            with recording(runs[run_id], pieces, dataset, restore_order, scratch) as rows:
                found = samples(rows.time_order(), runs[run_id], window, stride, dataset)
                last: pd.DataFrame | None = None
                windows[run_id] = 0
                for frame in rows.stored_order(found):
                    last = newest(frame, last, dataset)
                    windows[run_id] += int(frame[schema.IS_WINDOW].sum())
                    writer.add(frame)
                orders[run_id] = rows.plan.summary()
            latest.extend(_tuples(last, kept))
        writer.flush()
    if not any(windows.values()):
        report(f"{_no_window(telemetry, window)} Until then only known runs can be judged.")
    newest_rows = pd.DataFrame(latest, columns=kept)
    newest_rows[schema.EVENT_TIME] = newest_rows[schema.EVENT_TIME].dt.as_unit("us")
    write(newest_rows, output / LATEST_FILE)
    settings = {
        "restored_order": restore_order,
        "window": window,
        "stride": stride,
    }
    code = files_digest(ROOT, [ROOT / path for path in _CODE])
    manifest = {
        **settings,
        "dataset": source["dataset"],
        "keys": list(key_columns(dataset)),
        "feature_sets": {
            name: {"columns": one.columns, "samples": one.samples_column, "why": one.why}
            for name, one in made.sets.items()
        },
        "rows": writer.rows,
        "samples": writer.samples,
        "runs_without_windows": [run_id for run_id, count in windows.items() if count == 0],
        "order": orders,
        "feature_code_digest": code,
        "digest": json_digest([source["digest"], dataset.content, settings, code]),
    }
    jsonfile.write(output / "manifest.json", manifest)
    return manifest


def _no_window(telemetry: Path, window: int) -> str:
    """Return why no run has a window of cutting rows, though rows are cutting."""
    cutting = pd.read_parquet(telemetry / "runs.parquet", columns=["cutting_rows"])
    most = int(cutting["cutting_rows"].max())
    if most < window:
        return (
            f"No run has a window of {window} cutting rows (the longest has {most}); choose a "
            f"shorter window with --set window={max(2, most // 2)}, or check cutting under [rows] "
            "in dataset.toml."
        )
    return (
        f"No run has a window of {window} cutting rows of which some follow one another; check "
        "cutting under [rows] in dataset.toml: its limits may single out rows."
    )


def _tuples(last: pd.DataFrame | None, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    if last is not None:
        yield from last[columns].itertuples(index=False, name=None)
