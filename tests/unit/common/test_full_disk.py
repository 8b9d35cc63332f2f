"""A disk that is really full is met with one sentence, and leaves no part of a file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from toolwear.common.fingerprint import ROOT

# What is done on a file system of 300 KiB; {folder} is its place.
_WORK = """
import json, sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from serving.payload.segments import Segment
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import run_step

folder, told = Path(sys.argv[1]), {}
kept = folder / "kept.json"
jsonfile.write(kept, {"state": "old"})
log = Segment(folder / "payloads", "requests", pa.schema({"x": pa.float64()}))
(folder / "other").write_bytes(b"0" * 230_000)
try:
    jsonfile.write(kept, {"state": "n" * 100_000})
except ToolwearError as error:
    told["write"] = str(error)
told["kept"] = jsonfile.read(kept)
try:
    log.write(pa.record_batch({"x": np.random.default_rng(0).normal(size=100_000)}))
except OSError as error:
    told["log"] = error.errno
    log.leave()
def step():
    with (folder / "large.bin").open("wb") as stream:
        stream.write(b"0" * 1_000_000)
try:
    run_step("train", step)
except SystemExit as end:
    told["step"] = end.code
(folder / "large.bin").unlink()
files = [path for path in folder.rglob("*") if path.is_file()]
told["files"] = sorted(str(path.relative_to(folder)) for path in files)
print(json.dumps(told))
"""
_MOUNT = 'mount -t tmpfs -o size=300k tmpfs "$0" && exec "$@"'


def on_a_small_disk(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that alone sees a small file system at `folder`, gone with its end."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare, by which a small disk would be mounted")
    spaces = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*spaces, "true"], check=False, capture_output=True).returncode:
        spaces = ["unshare", "--mount"]
    if subprocess.run([*spaces, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here, as a small disk")
    return subprocess.run(
        [*spaces, "sh", "-c", _MOUNT, str(folder), *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.process
def test_writers_leave_whole_files_or_none(tmp_path: Path) -> None:
    done = on_a_small_disk(tmp_path, sys.executable, "-c", _WORK, str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["write"].startswith(f"{tmp_path}/kept.json can't be written: the disk is full; ")
    assert told["kept"] == {"state": "old"}
    assert told["log"] == 28
    assert told["step"] == 2
    assert done.stderr.startswith("train: Nothing is written: the disk is full; free some space")
    assert "Traceback" not in done.stderr
    assert told["files"] == ["kept.json", "other"]


@pytest.mark.process
def test_the_command_says_it_in_a_sentence(tmp_path: Path) -> None:
    module = (sys.executable, "-m", "toolwear.cli")
    done = on_a_small_disk(tmp_path, *module, "simulate", f"{tmp_path}/recordings")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"toolwear: {tmp_path}/recordings")
    assert " the disk is full; free some space" in line
