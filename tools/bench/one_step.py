"""One step in a process of its own: `python -m tools.bench.one_step STEP FOLDER DATA RESULT.json`.

Time is that of the step's function, its modules being imported before; memory is the process's.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tools.bench.measure import own_peak_mib
from toolwear.common import jsonfile
from toolwear.run.config import RunParameters

TELEMETRY, VALIDATION, FEATURES = "telemetry", "validation", "features"


def _ingest(folder: Path, data: Path) -> Callable[[], object]:
    from components.ingest.step import ingest

    output = folder / TELEMETRY
    return lambda: ingest(data=str(data), data_digest="", allow_simulator=True, output=output)


def _validate(folder: Path, data: Path) -> Callable[[], object]:
    from components.validate.step import validate

    importlib.import_module("components.validate.checks")  # the step puts it off: it takes seconds
    return lambda: validate(telemetry=folder / TELEMETRY, output=folder / VALIDATION)


def _features(folder: Path, data: Path) -> Callable[[], object]:
    from components.features.step import features

    defaults = RunParameters()
    return lambda: features(
        telemetry=folder / TELEMETRY,
        restore_order=defaults.restore_order,
        window=defaults.window,
        stride=defaults.stride,
        output=folder / FEATURES,
    )


STEPS = {"ingest": _ingest, "validate": _validate, "features": _features}


def main() -> None:
    """Run the step and write rows, seconds, CPU seconds and peak memory."""
    step, folder, data, result = sys.argv[1], *map(Path, sys.argv[2:5])
    work = STEPS[step](folder, data)
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    used = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak_mib": own_peak_mib(),
    }
    rows = jsonfile.read(folder / TELEMETRY / "manifest.json")["rows"]
    jsonfile.write(result, {"rows": rows, **used})


if __name__ == "__main__":
    main()
