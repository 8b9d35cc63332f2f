"""The audit on simulated recordings: silent without a trap, and each trap alone is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.ingest.step import ingest
from components.split import step
from datasets.cnc_mill import names as mill
from datasets.cnc_mill.simulator import SimulatorSettings, simulate
from tests.mill import FEATURE_SETS, FEATURES_MANIFEST, MILL
from toolwear.common import jsonfile
from toolwear.dataset import schema
from toolwear.evaluation.audit import columns as audit_columns
from toolwear.evaluation.audit import memory as audit_memory
from toolwear.features.dataset import TRAINING_SET
from toolwear.features.logic import samples
from toolwear.features.telemetry import read_rows, read_runs

WINDOW, STRIDE = 50, 25
POSITIONS = {"Z1_ActualPosition", "Z1_CommandPosition"}
BUS = {"X1_OutputCurrent", "Y1_OutputCurrent"}


def audited(
    folder: Path,
    *,
    seed: int,
    z_leak: float = 0.0,
    shuffle: bool = False,
    session: bool = False,
    drawn: bool = True,
) -> dict[str, Any]:
    """Return the audit of simulated recordings with the given traps, order not restored.

    Args:
        folder: to write to.
        seed: of the simulator.
        z_leak: how much higher worn tools cut, mm.
        shuffle: whether rows are stored in shuffled batches.
        session: whether the mains voltage differs between sessions.
        drawn: whether the order of worn and unworn is drawn; else it is the recorded one.
    """
    runs = 18 if drawn else 0
    settings = SimulatorSettings(
        seed=seed, z_leak=z_leak, shuffle=shuffle, session=session, runs=runs, balanced=drawn
    )
    simulate(settings, folder / "raw")
    ingest(
        data=str(folder / "raw"),
        data_digest="",
        allow_simulator=False,
        output=folder / "telemetry",
    )
    _features(folder / "telemetry", folder / "features")
    status = step.split(folder / "telemetry", folder / "features", 0, folder / "split")
    audit = jsonfile.read(folder / "split" / step.AUDIT_FILE)
    assert audit["status"] == status
    return audit


def _features(telemetry: Path, output: Path) -> None:
    """Write the training set without Feast, whose join has tests of its own."""
    runs = read_runs(telemetry)
    frames = []
    for run_id, pieces in read_rows(telemetry, MILL):
        rows = pd.concat(pieces, ignore_index=True)
        rows[schema.TIME_INDEX] = np.arange(len(rows), dtype=np.int64)
        frames += list(samples([rows], runs[run_id], WINDOW, STRIDE, MILL))
    (output / TRAINING_SET).mkdir(parents=True)
    pd.concat(frames, ignore_index=True).to_parquet(output / TRAINING_SET / "part-00000.parquet")
    jsonfile.write(output / "manifest.json", FEATURES_MANIFEST)


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    # What costs time and decides nothing here is tested on the real recordings.
    monkeypatch.setattr(audit_memory, "_TREES", 1)
    monkeypatch.setattr(audit_columns, "PERMUTATIONS", 19)
    monkeypatch.setattr(step, "draw", lambda *_: None)


@pytest.mark.parametrize("seed", range(2))
def test_without_a_trap_the_audit_is_silent(seed: int, tmp_path: Path) -> None:
    audit = audited(tmp_path, seed=seed)
    assert audit["findings"] == []
    assert audit["status"] == "clean"
    assert audit["order"]["shuffled_runs"] == []
    assert audit["session_fingerprint"] == []
    assert not any(item["leak"] for item in audit["columns"])
    assert all(v["passed"] for sets in audit["protocols"].values() for v in sets.values())


def test_the_tool_offset_alone_is_found(tmp_path: Path) -> None:
    audit = audited(tmp_path, seed=0, z_leak=0.2)
    assert len(audit["findings"]) == 1
    assert {item["column"] for item in audit["columns"] if item["leak"]} == POSITIONS
    refused = {
        name
        for name, verdict in audit["protocols"][schema.NEW_RUN].items()
        if not verdict["passed"]
    }
    assert refused == {
        name for name, chosen in FEATURE_SETS.items() if set(chosen.columns) & POSITIONS
    }
    assert audit["status"] == "restricted"


def test_the_order_of_the_recordings_alone_is_found(tmp_path: Path) -> None:
    audit = audited(tmp_path, seed=0, drawn=False)
    assert len(audit["findings"]) == 1
    assert "In 7 of 7 settings that have both, all worn runs" in audit["findings"][0]
    for protocol in (schema.NEW_RUN, schema.NEW_SETTING):
        for verdict in audit["protocols"][protocol].values():
            assert verdict["reasons"] == audit["findings"]


def test_shuffled_batches_alone_are_found(tmp_path: Path) -> None:
    audit = audited(tmp_path, seed=0, shuffle=True)
    runs = list(audit["order"]["run"])
    assert audit["order"]["shuffled_runs"] == runs[1:]
    assert audit["order"]["batch_rows"] == 10
    in_time, in_phase = audit["findings"]
    assert f"The rows of {len(runs) - 1} of {len(runs)} runs" in in_time
    assert mill.PHASE in in_phase


def test_sessions_alone_are_found(tmp_path: Path) -> None:
    audit = audited(tmp_path, seed=0, session=True)
    assert len(audit["findings"]) == 1
    marks = audit["session_fingerprint"]
    assert {item["column"] for item in marks if item["moves_with"] is None} == BUS
    assert {item["column"] for item in marks} <= BUS | {"S1_OutputCurrent"}
    assert all(v["passed"] for v in audit["protocols"][schema.NEW_RUN].values())
    caveat = audit["protocols"][schema.NEW_RUN][schema.PUBLISHED]["caveats"][0]
    assert "tell when a run was recorded" in caveat
