"""What a graph takes of a server, measured in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolwear.common.fingerprint import ROOT
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.onnx_trees import tree_nodes

_TIMED_ROWS = 200
_ROWS = 1000  # at once


@dataclass(frozen=True)
class Footprint:
    """The size of a graph and what it takes.

    Attributes:
        bytes: of the ONNX file.
        tree_nodes: of all trees together.
        memory_mib: by how much a process grows at most while it loads the graph and answers.
        milliseconds_per_row: median over rows that are asked one at a time.
    """

    bytes: int
    tree_nodes: int
    memory_mib: float
    milliseconds_per_row: float


def measure(model: Path, rows: np.ndarray) -> Footprint:
    """Load a graph in a fresh process as the predictor does, ask it, and return what that took.

    Args:
        model: the ONNX file.
        rows: to ask, float64 (n, features).

    Raises:
        CalledProcessError: the process failed; its error is on stderr.
    """
    chosen = rows[np.linspace(0, len(rows) - 1, min(_ROWS, len(rows))).astype(int)]
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "rows.npy"
        np.save(asked, chosen)
        done = subprocess.run(
            [sys.executable, "-m", "toolwear.model.footprint", str(model), str(asked)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            check=True,
            stdout=subprocess.PIPE,
        )
    data = model.read_bytes()
    return Footprint(len(data), tree_nodes(data), **json.loads(done.stdout))


def _main(model: Path, asked: Path) -> None:
    rows = np.load(asked)
    before = _mebibytes("VmRSS")
    data = model.read_bytes()  # servers keep the package's bytes, too
    graph = OnnxModel(data)
    graph.predict_proba(rows)
    seconds = []
    for row in rows[:: max(1, len(rows) // _TIMED_ROWS)]:
        started = time.perf_counter()
        graph.predict_proba(row[None])
        seconds.append(time.perf_counter() - started)
    found = {
        "memory_mib": round(_mebibytes("VmHWM") - before, 1),
        "milliseconds_per_row": round(float(np.median(seconds)) * 1000, 4),
    }
    print(json.dumps(found))


def _mebibytes(field: str) -> float:
    """Return a figure of this process's memory: VmRSS is now, VmHWM the most that it ever was."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"The kernel does not tell {field}.")


if __name__ == "__main__":
    _main(*map(Path, sys.argv[1:]))
