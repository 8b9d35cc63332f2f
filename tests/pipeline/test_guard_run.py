"""A run on data that may not teach: refused, named, audited, and nothing trained."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.cnc_mill import names as mill
from tests.conftest import run_command
from toolwear.common import jsonfile
from toolwear.release import audit_log
from toolwear.release.registry_state import champion_state
from toolwear.workspace.home import Home

pytestmark = pytest.mark.timeout(900)


def test_a_flipped_run_ends_the_run_before_anything_is_trained(
    trained_home: Path, real_data: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(trained_home, home, symlinks=True)
    data = tmp_path / "data"
    shutil.copytree(real_data, data)
    table = data / mill.RUN_TABLE_FILE
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
    entry = audit_log.entries(Home(home))[-1]
    assert entry["why"].startswith("refuse_poisoned: Run 11 is labelled worn")
    assert champion_state(home) == champion
    status = subprocess.run(
        [sys.executable, "-m", "toolwear.cli", "status", f"--home={home}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert "Rejected: the recordings look poisoned" in status.stdout, status.stdout + status.stderr


def test_data_that_validation_refuses_has_its_entry(real_data: Path, tmp_path: Path) -> None:
    data, home = tmp_path / "data", tmp_path / "home"
    data.mkdir()
    header, *rows = (real_data / mill.RUN_TABLE_FILE).read_text().splitlines()
    few = [row for row in rows if row.split(",")[0] in ("4", "5", "7")]
    (data / mill.RUN_TABLE_FILE).write_text("\n".join([header, *few]) + "\n")
    for row in few:
        name = mill.RUN_FILE_PATTERN.format(number=int(row.split(",")[0]))
        shutil.copyfile(real_data / name, data / name)
    short = data / mill.RUN_FILE_PATTERN.format(number=7)
    short.write_text("\n".join(short.read_text().splitlines()[:61]) + "\n")
    command = run_command(data, home, cause="new_data: a test")
    for _ in range(2):  # whether or not its steps come from the cache
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        assert done.returncode == 2, told
        assert "Traceback" not in told
    entries = audit_log.entries(Home(home))
    assert [entry["action"] for entry in entries] == [audit_log.DECLINE] * 2
    assert entries[0]["why"].startswith("refuse_data: the data is refused: ")
    assert "fewer than 100 rows in 1 of 3 runs (33.3 %): 07" in entries[0]["why"]
    assert (entries[0]["cause"], entries[0]["to"]) == ("new_data: a test", None)
    assert len(entries[0]["data"]) == 64
