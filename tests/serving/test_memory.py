"""What the gate counts for a server is what a real one needs."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.serving.conftest import MODEL, Served
from toolwear.common.thresholds import thresholds
from toolwear.model.footprint import measure
from toolwear.model.package import MODEL_FILE


def peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def test_the_predictor_needs_no_more_than_the_gate_counts(served: Served) -> None:
    rows = served.package.golden().rows
    for _ in range(20):
        asked = {"instances": rows.tolist()}
        httpx.post(f"{served.url}/v1/models/{MODEL}:predict", json=asked).raise_for_status()
    model = measure(served.package.folder / MODEL_FILE, rows)
    counted = thresholds().serving.servers["predictor"].without_model_mib + model.memory_mib
    assert 0.6 * counted < peak_mib(served.pid) <= counted
