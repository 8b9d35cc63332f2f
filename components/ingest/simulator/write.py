"""Simulated runs as the files that the mill leaves."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from itertools import batched
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from components.core import jsonfile, schema
from components.ingest.simulator.design import Run, runs
from components.ingest.simulator.machine import Machine
from components.ingest.simulator.path import segments
from components.ingest.simulator.recording import recorded
from components.ingest.simulator.settings import SimulatorSettings
from components.ingest.sources import SIMULATED_FILE

# Segments that are shuffled, rounded and written together: a dozen layers bound the memory.
_SEGMENTS_PER_CHUNK = 24
_WORDS = {True: "yes", False: "no", None: ""}


def simulate(
    settings: SimulatorSettings,
    output: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Fill a folder with simulated recordings and the table of their runs.

    The same settings give the same bytes. Memory is bounded by a dozen layers, whatever the
    number and the length of the runs.

    Args:
        settings: what to simulate.
        output: folder to fill; made if need be.
        progress: called with the runs done and all runs.
    """
    output.mkdir(parents=True, exist_ok=True)
    jsonfile.write(output / SIMULATED_FILE, settings.model_dump())
    design = runs(settings)
    for done, run in enumerate(design, 1):
        _write_run(run, settings, output / schema.RUN_FILE_PATTERN.format(number=run.number))
        progress(done, len(design))
    _write_table(design, output / schema.RUN_TABLE_FILE)


def _write_run(run: Run, settings: SimulatorSettings, path: Path) -> None:
    types = [(name, pa.float64()) for name in schema.NUMERIC_COLUMNS] + [
        (schema.PHASE, pa.string())
    ]
    layout = pa.schema(types)
    with pacsv.CSVWriter(
        path, layout, write_options=pacsv.WriteOptions(quoting_style="none")
    ) as writer:
        for columns in _chunks(run, settings):
            arrays = [
                pa.array(columns[name], from_pandas=True, type=layout.field(name).type)
                for name in schema.RAW_COLUMNS
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=layout))


def _chunks(run: Run, settings: SimulatorSettings) -> Iterator[dict[str, np.ndarray]]:
    rng = np.random.default_rng([settings.seed, 2, run.number])
    machine = Machine(run, settings, rng)
    drifting = 0 < settings.drift_from_run <= run.number
    offset = settings.z_leak * run.worn + (settings.drift_tool_offset if drifting else 0.0)
    for some in batched(segments(run, settings.passes, offset), _SEGMENTS_PER_CHUNK):
        shown = [machine.show(segment) for segment in some]
        joined = {name: np.concatenate([part[name] for part in shown]) for name in shown[0]}
        yield recorded(joined, run, settings, rng)


def _write_table(design: list[Run], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(schema.RUN_TABLE_COLUMNS)
        for run in design:
            table.writerow(
                [
                    run.number,
                    "wax",
                    f"{run.feed:g}",
                    f"{run.clamp:g}",
                    run.condition,
                    _WORDS[run.finalized],
                    _WORDS[run.inspection],
                ]
            )
