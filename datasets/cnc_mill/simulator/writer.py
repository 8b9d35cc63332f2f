"""Simulated runs as files like the recorded ones."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from datasets.cnc_mill import names
from datasets.cnc_mill.simulator.design import PlannedRun, design
from datasets.cnc_mill.simulator.faults import Faults
from datasets.cnc_mill.simulator.physics import RunPhysics
from datasets.cnc_mill.simulator.program import program
from datasets.cnc_mill.simulator.settings import SimulatorSettings
from toolwear.common import jsonfile
from toolwear.common.disk import mendable, whole
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.dataset import schema
from toolwear.dataset.contract import SIMULATED_FILE

_BLOCK_ROWS = 30_000  # a multiple of a batch; bounds the memory of however long a run
_REPORT_SECONDS = 2.0
_SCHEMA = pa.schema(
    [*((name, pa.float64()) for name in names.NUMERIC_COLUMNS), (names.PHASE, pa.string())]
)

Progress = Callable[[int, int], None]


def simulate(settings: SimulatorSettings, output: Path, progress: Progress | None = None) -> None:
    """Write run files, the table of runs and a note of the settings to a folder.

    The same settings give the same bytes. Memory does not grow with the number or the length of
    the runs. The note is written first and the table of runs last: what is cut short is neither
    taken for real nor for complete.

    Args:
        settings: what to simulate.
        output: folder to make; it must not hold anything.
        progress: called with the rows written and the rows in all; by default told in words.

    Raises:
        ToolwearError: the folder is not empty or can't be written.
    """
    runs = design(settings)
    tell = progress or _in_words()
    total = sum(run.rows for run in runs)
    with mendable(output):
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()):
            raise ToolwearError(f"{output} is not empty; give a new folder.")
        jsonfile.write(output / SIMULATED_FILE, _note(settings, runs))
        written = 0
        for run in runs:
            for rows in _write_run(run, settings, output):
                written += rows
                tell(written, total)
        _write_table(runs, output / names.RUN_TABLE_FILE)


def _note(settings: SimulatorSettings, runs: list[PlannedRun]) -> dict[str, object]:
    return {
        "simulated": True,
        "settings": settings.model_dump(),
        "flipped_runs": [run.number for run in runs if run.label != run.worn],
        "rows": sum(run.rows for run in runs),
    }


def _write_run(run: PlannedRun, settings: SimulatorSettings, output: Path) -> Iterator[int]:
    offset = settings.z_leak + settings.drift_tool_offset * settings.drifts(run.number)
    piece = program(
        run.feedrate,
        offset if run.worn else 0.0,
        run.cut_share,
        run.piece_rows,
        settings.three_digits,
    )
    physics, faults = RunPhysics(run, piece, settings), Faults(run, settings)
    path = output / names.RUN_FILE_PATTERN.format(number=run.number)
    options = pacsv.WriteOptions(quoting_style="none", batch_size=4096)
    with (
        whole(path) as partial,
        pacsv.CSVWriter(partial, _SCHEMA, write_options=options) as writer,
    ):
        for first in range(0, run.rows, _BLOCK_ROWS):
            columns, phases = physics.rows(min(_BLOCK_ROWS, run.rows - first))
            faults.apply(columns)
            writer.write_batch(_batch(columns, phases))
            yield len(phases)


def _batch(columns: dict[str, np.ndarray], phases: np.ndarray) -> pa.RecordBatch:
    # What is not a number becomes null, and so an empty cell.
    arrays = [pa.array(columns[name], from_pandas=True) for name in names.NUMERIC_COLUMNS]
    named = pa.DictionaryArray.from_arrays(phases.astype(np.int32), list(names.PHASES))
    return pa.RecordBatch.from_arrays([*arrays, named.cast(pa.string())], schema=_SCHEMA)


def _write_table(runs: list[PlannedRun], path: Path) -> None:
    words = {True: "yes", False: "no", None: ""}
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names.RUN_TABLE_COLUMNS)
        for run in (planned.table_row() for planned in runs):
            writer.writerow(
                [
                    run.number,
                    run.material,
                    *(f"{value:g}" for value in run.settings.values()),
                    schema.CLASSES[run.worn or 0],
                    words[run.finished],
                    words[run.inspected],
                ]
            )


def _in_words() -> Progress:
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _REPORT_SECONDS:
            told = time.monotonic()
            report(f"simulated {done:,} of {total:,} rows")

    return tell
