"""What somebody who may write to the home gets from the servers that read it: only refusals."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from components.core import jsonfile
from components.core.fingerprint import ROOT
from components.core.home import Home
from components.core.registry import CHAMPION, COMPLETE, PACKAGE, Registry
from components.features.store import HOME_FOLDER, publish_online
from serving.common import champion as pointer
from tests.feast_attacks import plant
from tests.ports import free_port
from tests.serving.conftest import MODEL, environment
from tests.serving.stack import Place, Stack, expected, running, wait_for

Attack = Callable[[Place, Path], str]
V1 = f"/v1/models/{MODEL}:predict"
RUN = {"instances": [{"run_id": "07"}]}
NO_STORE = {"error": "The feature store does not answer at the moment; try again."}


@pytest.fixture
def own(place: Place, tmp_path: Path) -> Place:
    """A home of the test's own, to change."""
    home = tmp_path / "home"
    shutil.copytree(place.home, home, symlinks=True)
    own = replace(place, home=home)
    own.point(0)
    return own


def ask(stack: Stack) -> httpx.Response:
    return httpx.post(stack.transformer.url + V1, json=RUN, timeout=30)


def test_code_in_a_registry_of_features_is_named_in_the_log_and_never_run(
    own: Place, features: Path, tmp_path: Path
) -> None:
    """At the start of a server, while it runs, and after the publication that mends it."""
    mark = tmp_path / "mark"
    current = own.home / HOME_FOLDER / "current"
    said = plant(current, "on-demand view", mark)
    with running(own, tmp_path) as stack:
        log = stack.transformer.log
        assert said in log.read_text()
        answer = ask(stack)
        assert (answer.status_code, answer.json()) == (503, NO_STORE)
        publish_online(features, own.home)
        answer = ask(stack)
        right = expected(own.home, own.packages[0], "07")
        assert answer.json()["predictions"][0]["probability"] == right
        said = plant(current, "stream view", mark)
        (current / "complete.views").touch()  # as if it had been published anew
        assert ask(stack).status_code == 503
        assert said in log.read_text()
    assert not mark.exists()


def elsewhere(own: Place, tmp_path: Path) -> str:
    """Point to a copy of the package outside of the home."""
    outside = tmp_path / "outside" / own.packages[0].digest
    shutil.copytree(own.packages[0].folder, outside)
    pointer.write(own.home, replace(own.champion(0), package=str(outside)))
    return f"Version 1 is to be served from {outside}, and its package has to be in"


def climbing(own: Place, tmp_path: Path) -> str:
    elsewhere(own, tmp_path)
    relative = f"../outside/{own.packages[0].digest}"
    pointer.write(own.home, replace(own.champion(0), package=relative))
    return f"Version 1 is to be served from {relative}, and its package has to be in"


def linked(own: Place, tmp_path: Path) -> str:
    """Put a link to a copy outside in the package's place."""
    folder = own.home / "packages" / own.packages[0].digest
    outside = tmp_path / "outside"
    shutil.move(folder, outside)
    folder.symlink_to(outside)
    return "without a link on the way"


def another_version(own: Place, _tmp_path: Path) -> str:
    """Point to another version of this home, which nobody has promoted."""
    pointer.write(own.home, own.champion(1))
    return f"champion.json names version 2 (package {own.packages[1].version}), the audit log names"


def another_package(own: Place, _tmp_path: Path) -> str:
    pointer.write(own.home, replace(own.champion(1), version="1"))
    return f"champion.json names version 1 (package {own.packages[1].version}), the audit log names"


def no_log(own: Place, _tmp_path: Path) -> str:
    Home(own.home).audit_log.unlink()
    return "the audit log names none: the two differ, so it is not served; `toolwear reconcile"


def registry_edited(own: Place, _tmp_path: Path) -> str:
    registry = Registry(Home(own.home), "", MODEL)
    registry.client.create_registered_model(MODEL)
    for package in own.packages[:2]:
        tags = {PACKAGE: package.digest, COMPLETE: "true"}
        registry.client.create_model_version(MODEL, package.folder.as_uri(), tags=tags)
    registry.client.set_registered_model_alias(MODEL, CHAMPION, "2")
    return (
        f"the registry names version 2 (package {own.packages[1].version}): the registry differs, "
        "so it is not served; `toolwear reconcile --why ...` keeps what champion.json names"
    )


def tag_edited(own: Place, tmp_path: Path) -> str:
    registry_edited(own, tmp_path)
    registry = Registry(Home(own.home), "", MODEL)
    registry.client.set_registered_model_alias(MODEL, CHAMPION, "1")
    registry.client.set_model_version_tag(MODEL, "1", PACKAGE, own.packages[1].digest)
    return f"the registry names version 1 (package {own.packages[1].version}): the registry differs"


def endless_registry(own: Place, _tmp_path: Path) -> str:
    """Give the registry's database a view that never ends."""
    with closing(sqlite3.connect(Home(own.home).database)) as database:
        database.execute(
            "CREATE VIEW registered_model_aliases AS WITH RECURSIVE n(i) AS "
            "(SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT i AS version, 'x' || i AS name, 'x' || i AS alias FROM n"
        )
        database.execute("CREATE TABLE model_version_tags (name, version, key, value)")
    return "can't be read (interrupted)"


def a_device(own: Place, _tmp_path: Path) -> str:
    """Put a link to a device in the place of the package's model."""
    model = own.home / "packages" / own.packages[0].digest / "model.onnx"
    model.parent.chmod(0o755)
    model.unlink()
    model.symlink_to("/dev/zero")
    return "model.onnx can't be read: it is a link"


def a_pipe(own: Place, _tmp_path: Path) -> str:
    path = pointer.path(own.home)
    path.unlink()
    os.mkfifo(path)
    return "champion.json can't be read: it is not a regular file"


def endless(own: Place, _tmp_path: Path) -> str:
    os.truncate(pointer.path(own.home), 1 << 40)
    return "champion.json can't be read: it is longer than 67,108,864 bytes"


ATTACKS = (
    elsewhere,
    climbing,
    linked,
    another_version,
    another_package,
    no_log,
    registry_edited,
    tag_edited,
    endless_registry,
    a_device,
    a_pipe,
    endless,
)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("server", ["predictor", "explainer"])
def test_a_server_that_starts_on_a_forged_champion_says_what_differs_and_serves_nothing(
    own: Place, tmp_path: Path, attack: Attack, server: str
) -> None:
    said = attack(own, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", f"serving.{server}", "--home", str(own.home)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("attack", [elsewhere, another_version, another_package, a_pipe])
def test_a_server_at_work_keeps_what_it_serves(own: Place, tmp_path: Path, attack: Attack) -> None:
    with running(own, tmp_path) as stack:
        said = attack(own, tmp_path)
        wait_for(lambda: said in stack.predictor.log.read_text())
        receipt = ask(stack).json()["receipt"]
        assert (receipt["version"], receipt["package_digest"]) == ("1", own.packages[0].digest)
        own.point(1)
        wait_for(lambda: ask(stack).json()["receipt"]["version"] == "2")


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


def test_a_pipe_as_the_monitors_state_is_told_and_nobody_waits(own: Place) -> None:
    Home(own.home).monitor.mkdir()
    os.mkfifo(Home(own.home).monitor / "state.json")
    done = subprocess.run(
        [sys.executable, "-m", "serving.monitor", "--home", str(own.home)],
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
        assert ask(stack).status_code == 200
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
