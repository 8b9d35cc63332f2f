"""Files of the home that are none of ours: told in a sentence or left out, and nobody waits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from tests.serving.conftest import MODEL, environment
from tests.serving.stack import Place, running, wait_for
from toolwear.common import jsonfile
from toolwear.common.fingerprint import ROOT
from toolwear.workspace.home import Home


def run_folder(home: Path, name: str) -> Path:
    """Leave what a run leaves that ended well."""
    folder = home / name
    jsonfile.write(folder / "arguments.json", {"cause": "on_demand", "data_digest": "x"})
    gate = {"decision": "promote_first", "outcome": "promoted", "reasons": []}
    summary = {
        "protocols": {"known_runs": {}},
        "gate": gate,
        "model": {"version": "1", "package": "x"},
        "timings": {"total": 1.0},
        "cached": [],
    }
    jsonfile.write(folder / "summary.json", summary)
    (folder / "report.html").write_text("<title>The report</title>")
    return folder


def test_the_console_leaves_out_runs_that_are_no_files_of_ours_and_shows_the_others(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    good = run_folder(home, "20260101T000000Z-good")
    piped = run_folder(home, "20260102T000000Z-pipe") / "arguments.json"
    piped.unlink()
    os.mkfifo(piped)
    device = run_folder(home, "20260103T000000Z-zero") / "summary.json"
    device.unlink()
    device.symlink_to("/dev/zero")
    os.truncate(run_folder(home, "20260104T000000Z-long") / "summary.json", 1 << 40)
    (run_folder(home, "20260105T000000Z-deep") / "summary.json").write_text("[" * 100_000)
    (run_folder(home, "20260106T000000Z-list") / "summary.json").write_text("[]")
    secret = run_folder(tmp_path / "outside", "20260107T000000Z-away")
    (home / secret.name).symlink_to(secret)
    stolen = run_folder(home, "20260108T000000Z-link") / "report.html"
    stolen.unlink()
    stolen.symlink_to("/etc/hostname")
    port = free_port()
    log = tmp_path / "console.log"
    with log.open("w") as stream:
        console = subprocess.Popen(
            [
                *(sys.executable, "-m", "serving.console", "--home", str(home)),
                *("--http_port", str(port)),
            ],
            cwd=ROOT,
            env=environment(),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{url}/healthz"), 120)
        page = httpx.get(f"{url}/runs", timeout=30)
        assert page.status_code == 200
        assert f'href="/runs/{good.name}"' in page.text
        for folder, said in (
            (piped.parent, "arguments.json can&#39;t be read: it is not a regular file"),
            (device.parent, "summary.json can&#39;t be read: it is a link"),
            (home / "20260104T000000Z-long", "it is longer than 67,108,864 bytes"),
            (home / "20260105T000000Z-deep", "is nested too deeply"),
            (home / "20260106T000000Z-list", "is broken (TypeError"),
        ):
            assert f'href="/runs/{folder.name}"' not in page.text
            sentence = page.text.split(f"Run {folder.name} is left out: ")[1].partition("</p>")[0]
            assert said in sentence
        assert secret.name not in page.text
        assert httpx.get(f"{url}/runs/{secret.name}").status_code == 404
        assert "The report" in httpx.get(f"{url}/report/{good.name}").text
        report = httpx.get(f"{url}/report/{stolen.parent.name}")
        assert report.status_code == 503
        assert "report.html can&#39;t be read: it is a link" in report.text
        assert Path("/etc/hostname").read_text().strip() not in report.text
    finally:
        console.terminate()
        assert console.wait(30) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_a_pipe_as_the_monitors_state_is_told_and_nobody_waits(tmp_path: Path) -> None:
    Home(tmp_path).monitor.mkdir()
    os.mkfifo(Home(tmp_path).monitor / "state.json")
    done = subprocess.run(
        [sys.executable, "-m", "serving.monitor", "--home", str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "state.json can't be read: it is not a regular file" in done.stderr


@pytest.fixture
def careless() -> Iterator[None]:
    """The umask of a user who lets everybody write everything."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless")
def test_nothing_in_the_home_is_for_others_whatever_the_users_umask(
    place: Place, tmp_path: Path
) -> None:
    """What was there is narrowed, and what servers write is theirs alone."""
    home = tmp_path / "home"
    shutil.copytree(place.home, home, symlinks=True)
    own = replace(place, home=home)
    own.point(0)
    for path in home.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)
    with running(own, tmp_path) as stack:
        url = f"{stack.transformer.url}/v1/models/{MODEL}:predict"
        asked = httpx.post(url, json={"instances": [{"run_id": "07"}]}, timeout=30)
        assert asked.status_code == 200
    made = {path.parent.name for path in home.rglob("*") if path.is_file()}
    assert {"payloads", "serving"} <= made
    others = {
        path.relative_to(home).as_posix(): oct(path.stat().st_mode)
        for path in home.rglob("*")
        if not path.is_symlink() and path.stat().st_mode & 0o077
    }
    assert others == {}


def test_modules_in_the_home_are_not_imported_by_a_run_that_is_started_there(
    real_data: Path, tmp_path: Path
) -> None:
    home, mark = tmp_path / "home", tmp_path / "mark"
    home.mkdir()
    for name in ("kfp", "pandas", "pyarrow", "duckdb", "components", "sitecustomize"):
        (home / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    run = subprocess.Popen(
        [Path(sys.executable).with_name("toolwear"), "run", "--data", real_data, "--home", "."],
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        # Which the step's own process writes.
        wait_for(lambda: list(home.glob("2*/events/ingest.json")) or run.poll() is not None, 180)
        assert run.poll() is None
    finally:
        run.terminate()
        run.wait(60)
    assert not mark.exists()
