"""A run on poisoned data, as a person starts it: refused, named, audited, and nothing trained."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.core import jsonfile, schema
from components.promote import audit_log
from components.promote.registry_state import champion_state
from tests.conftest import run_command

pytestmark = pytest.mark.timeout(900)


def test_a_flipped_run_ends_the_run_before_anything_is_trained(
    trained_home: Path, real_data: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(trained_home, home, symlinks=True)
    data = tmp_path / "data"
    shutil.copytree(real_data, data)
    table = data / schema.RUN_TABLE_FILE
    text = table.read_text()
    table.write_text(text.replace("11,wax,3,4,unworn,", "11,wax,3,4,worn,"))
    assert table.read_text() != text
    champion = champion_state(home)
    earlier = set(home.glob("2*"))
    done = subprocess.run(run_command(data, home), capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 2, told
    assert "refuse_poisoned" in told
    assert "Traceback" not in told
    (run,) = set(home.glob("2*")) - earlier
    events = {path.stem: jsonfile.read(path)["state"] for path in run.glob("events/*.json")}
    assert events["guard"] == "failed"
    assert not {"split", "train", "automl", "decide", "register", "promote"} & set(events)
    assert "refuse_poisoned" in (run / "failure.html").read_text()
    entry = audit_log.entries(home / "audit.jsonl")[-1]
    assert entry["why"].startswith("refuse_poisoned: Run 11 is labelled worn")
    assert champion_state(home) == champion
    status = subprocess.run(
        [sys.executable, "-m", "components.cli", "status", f"--home={home}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert "refuse_poisoned" in status.stdout, status.stdout + status.stderr
