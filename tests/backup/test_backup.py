"""The rehearsal: a home is backed up while it is written to, destroyed, restored and compared."""

from __future__ import annotations

import io
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from serving.trigger.embedded import Embedded
from serving.trigger.store import Request, Store
from tests.feast_attacks import plant
from tests.serving import stack
from tests.serving.conftest import environment
from toolwear.cli.backup_contents import PARTS
from toolwear.common import jsonfile
from toolwear.common.causes import Cause
from toolwear.common.digest import file_digest
from toolwear.common.fingerprint import ROOT
from toolwear.common.lock import exclusive
from toolwear.release import audit_log
from toolwear.release import champion as pointer
from toolwear.release.registry import CHAMPION, COMPLETE, PACKAGE, USE, Registry
from toolwear.release.registry_state import MODEL_NAME, champion_state, promote_version
from toolwear.run.run_folder import RECORD
from toolwear.workspace.home import Home
from toolwear.workspace.moved import follow

RUN = "07"
NAME = "20260101T000000Z-abcdef"
LOG = """
import sys
from toolwear.workspace.home import Home
from toolwear.release.registry import CHAMPION, Registry
registry = Registry(Home.at(sys.argv[1]), "", "toolwear")
registry.client.log_text(registry.at(CHAMPION).run_id, "later", "later.txt")
"""


@pytest.fixture
def home(features: Path, tmp_path: Path) -> Path:
    """A home with real features and a champion that the registry, the log and the servers know."""
    found = tmp_path / "home"
    place = stack.make_place(found, features, pointed=False)
    package = place.packages[0]
    registry = Registry(Home(found), "", MODEL_NAME)
    client = registry.client
    client.create_registered_model(MODEL_NAME)
    experiment = client.create_experiment("training", str(found / "mlflow"))
    run = client.create_run(experiment)
    client.log_param(run.info.run_id, "seed", "0")
    client.log_artifacts(run.info.run_id, str(package.folder), "package")
    tags = {COMPLETE: "true", PACKAGE: package.digest, USE: "known runs"}
    made = client.create_model_version(
        MODEL_NAME, f"{run.info.artifact_uri}/package", run.info.run_id, tags=tags
    )
    promote_version(registry, registry.version(str(made.version)), "it is the first", "on_demand")
    make_run(found, tmp_path)
    return found


def make_run(home: Path, data: Path) -> Path:
    """Leave what a successful run leaves, artifacts included."""
    folder = home / NAME
    (folder / "events").mkdir(parents=True)
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "large.bin").write_bytes(b"0" * 1000)
    jsonfile.write(folder / "arguments.json", {"data": str(data), "cause": "on_demand"})
    jsonfile.write(folder / "summary.json", {"gate": {"decision": "promote_first"}})
    jsonfile.write(folder / "events" / "ingest.json", {"step": "ingest", "state": "succeeded"})
    (folder / "report.html").write_text("<title>The report</title>")
    (home / "latest").symlink_to(NAME)
    return folder


def toolwear(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "toolwear.cli", *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def files(home: Path) -> dict[str, str]:
    """Return the digest of every file that is backed up, databases excepted."""
    found = {}
    for part in {*PARTS, *(f"{NAME}/{part}" for part in RECORD)} - {"latest"}:
        inside = [
            Path(folder) / name
            for folder, _, names in os.walk(home / part, followlinks=True)
            for name in names
        ]
        for path in [home / part, *inside]:
            if path.is_file() and path.read_bytes()[:6] != b"SQLite":
                found[path.relative_to(home).as_posix()] = file_digest(path)
    return found


def known(home: Path) -> dict[str, Any]:
    """Return what the registry, the feature store and the log tell, each asked as it is used."""
    from toolwear.features.feast_folder import open_folder

    registry = Registry(Home(home), "", MODEL_NAME)
    champion = registry.at(CHAMPION)
    assert champion is not None
    run = registry.client.get_run(champion.run_id)
    artifacts = sorted(
        item.path for item in registry.client.list_artifacts(champion.run_id, "package")
    )
    store = open_folder(home / "feast" / "current")
    views = sorted(view.name for view in store.list_feature_views())
    return {
        "champion": champion_state(home),
        "tags": dict(champion.tags),
        "parameters": dict(run.data.params),
        "artifacts": artifacts,
        "views": views,
        "online": online(home),
        "log": audit_log.entries(Home(home)),
    }


def answer(home: Path) -> float:
    """Return what the champion that servers follow says of a run's newest features."""
    _, package = pointer.read_package(home)
    return stack.expected(home, package, RUN)


def online(home: Path) -> list[str]:
    """Return all that the online store holds."""
    with closing(sqlite3.connect(home / "feast" / "current" / "online.db")) as database:
        return sorted(database.iterdump())


class Writer:
    """Logs a metric to the registry, step after step, as a run does."""

    def __init__(self, home: Path) -> None:
        self.client: Any = Registry(Home(home), "", MODEL_NAME).client
        experiment = self.client.search_experiments()[0].experiment_id
        self.run_id = self.client.create_run(experiment).info.run_id
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._write)
        self.steps = 0

    def _write(self) -> None:
        while not self.stop.is_set():
            self.client.log_metric(self.run_id, "loss", 1.0, step=self.steps)
            self.steps += 1

    def __enter__(self) -> Writer:
        self.thread.start()
        stack.wait_for(lambda: self.steps > 3)
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop.set()
        self.thread.join()


def test_what_was_destroyed_comes_back_as_it_was(home: Path, tmp_path: Path) -> None:
    archive = tmp_path / "kept" / "home.tar.gz"
    before, told, listed = known(home), answer(home), files(home)
    with Writer(home) as writer:
        first = writer.steps
        toolwear("backup", archive, "--home", home)
        last = writer.steps
    assert first < last
    assert archive.stat().st_mode & 0o077 == 0
    shutil.rmtree(home)
    assert champion_state(home) is None
    assert "is as it was at" in toolwear("restore", archive, "--home", home)
    assert known(home) == before
    kept = {name: digest for name, digest in listed.items() if not name.endswith(".log")}
    assert {"place.json", "serving/champion.json"} <= kept.keys()
    assert files(home) == kept
    # Written meanwhile: all up to one moment, nothing in part.
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        steps = [
            step
            for (step,) in database.execute(
                "SELECT step FROM metrics WHERE run_uuid = ? ORDER BY step", (writer.run_id,)
            )
        ]
    assert steps == list(range(len(steps)))
    assert first <= len(steps) <= last + 1
    assert answer(home) == told


def test_nothing_is_overwritten_unless_asked_and_then_it_is_put_aside(
    home: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "home.tar.gz"
    toolwear("backup", archive, "--home", home)
    assert "is there already" in toolwear("backup", archive, "--home", home, code=2)
    assert "--overwrite" in toolwear("restore", archive, "--home", home, code=2)
    log = audit_log.entries(Home(home))
    (home / "records.db").write_text("{}\n")
    # Not under a trigger that is at work.
    with exclusive(Home(home).lock("trigger"), "the test"):
        told = toolwear("restore", archive, "--home", home, "--overwrite", code=2)
    assert "Another process is running the trigger of this home" in told
    assert (home / "records.db").read_text() == "{}\n"
    toolwear("restore", archive, "--home", home, "--overwrite")
    assert audit_log.entries(Home(home)) == log
    (aside,) = home.glob("replaced-*")
    assert (aside / "records.db").read_text() == "{}\n"


def of_the_registry(home: Path) -> list[str]:
    """Return every path that the registry holds."""
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        return [line for line in database.iterdump() if "/home" in line or str(home.parent) in line]


def in_its_new_place(old: Path, new: Path, before: dict[str, Any]) -> None:
    """Check that a home works where it is now, and writes only there."""
    assert known(new) == {
        **before,
        "tags": {name: value.replace(str(old), str(new)) for name, value in before["tags"].items()},
    }
    assert not [line for line in of_the_registry(new) if f"{old}/" in line]
    # A process of its own: MLflow remembers where a run's artifacts were.
    subprocess.run([sys.executable, "-c", LOG, str(new)], cwd=ROOT, env=environment(), check=True)
    assert len(list((new / "mlflow").rglob("later.txt"))) == 1
    assert Embedded(Home(new), {}).lacks({}) == "", "what to train on is still known"
    assert (new / "latest" / "report.html").read_text() == "<title>The report</title>"


def test_a_home_that_was_moved_works_and_writes_only_where_it_is(
    home: Path, tmp_path: Path
) -> None:
    before = known(home)
    jsonfile.write(home / ".cache" / "a.json", {"uri": f"{home}/{NAME}/artifacts"})
    jsonfile.write(home / ".cache" / "b.json", {"uri": "elsewhere"})
    store = Store(home / "trigger")
    request = Request(Cause.NEW_DATA, "x", "y", {"data": f"{home}/trigger/recordings/latest"})
    store.accept(request, 0.0, 9)
    store.close()
    moved = tmp_path / "some where" / "moved"
    moved.parent.mkdir()
    home.rename(moved)
    sentence = follow(Home(moved))
    assert f"this home was at {home}:" in sentence
    assert follow(Home(moved)) == ""
    in_its_new_place(home, moved, before)
    assert not home.exists()
    assert [path.name for path in (moved / ".cache").iterdir()] == ["b.json"]
    with closing(sqlite3.connect(moved / "trigger" / "trigger.db")) as database:
        ((parameters,),) = database.execute("SELECT parameters FROM causes")
    assert f"{moved}/trigger/recordings/latest" in parameters


def test_a_backup_is_restored_elsewhere_with_its_reports(home: Path, tmp_path: Path) -> None:
    archive, other = tmp_path / "home.tar.gz", tmp_path / "other"
    before, listed = known(home), files(home)
    toolwear("backup", archive, "--home", home)
    shutil.rmtree(home)
    assert f"this home was at {home}" in toolwear("restore", archive, "--home", other)
    assert {name: listed[name] for name in listed if name != "place.json"}.items() <= (
        files(other).items()
    )
    in_its_new_place(home, other, before)
    assert not home.exists()
    assert not (other / NAME / "artifacts").exists()


def test_what_the_registry_names_and_is_gone_is_told(home: Path, tmp_path: Path) -> None:
    archive = tmp_path / "home.tar.gz"
    package = pointer.read_package(home)[1].folder
    shutil.rmtree(package)
    told = toolwear("backup", archive, "--home", home, code=1)
    assert f"not in it, though the registry names them: {package} of version 1" in told
    shutil.rmtree(home)
    assert f"{package} of version 1" in toolwear("restore", archive, "--home", home)


def test_the_document_lists_all_that_is_in_a_backup() -> None:
    document = (ROOT / "docs" / "backup.md").read_text()
    rows = re.findall(r"^\| ([^|]*`[^|]*) \|", document, flags=re.MULTILINE)
    listed = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert {*PARTS, *RECORD} <= listed


def test_a_backup_that_was_cut_off_or_changed_is_refused(home: Path, tmp_path: Path) -> None:
    archive = tmp_path / "home.tar.gz"
    toolwear("backup", archive, "--home", home)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    changed, hostile = tmp_path / "changed.tar.gz", tmp_path / "hostile.tar.gz"
    rewrite(archive, changed, {"place.json": b'{"home": "made up"}\n'})
    rewrite(archive, hostile, {"../outside": b"!"})
    for bad, sentence in (
        (cut, "is no whole backup"),
        (changed, "place.json is not as listed"),
        (hostile, "is no whole backup"),
        (tmp_path / "nowhere", "is not there"),
    ):
        told = toolwear("restore", bad, "--home", home, "--overwrite", code=2)
        assert sentence in told
    assert not (tmp_path / "outside").exists()
    assert champion_state(home) is not None
    assert not list(home.glob("replaced-*"))
    assert not list(home.glob(".restore-*"))


@pytest.mark.parametrize("kind", ["on-demand view", "stream view", "configuration"])
def test_code_in_a_backup_is_named_and_neither_run_nor_restored(
    home: Path, tmp_path: Path, kind: str
) -> None:
    archive, mark = tmp_path / "home.tar.gz", tmp_path / "mark"
    said = plant(home / "feast" / "current", kind, mark)
    toolwear("backup", archive, "--home", home)  # whose hashes are right
    other = tmp_path / "other"
    told = toolwear("restore", archive, "--home", other, code=2)
    assert said in told
    assert not mark.exists()
    assert not (other / "feast").exists()


def test_a_home_with_nothing_in_it_is_not_backed_up(tmp_path: Path) -> None:
    told = toolwear("backup", tmp_path / "x.tar.gz", "--home", tmp_path, code=2)
    assert "nothing to back up" in told


def rewrite(source: Path, target: Path, changes: dict[str, bytes]) -> None:
    """Copy an archive with the content of some files changed, or added."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for member in old.getmembers():
            if member.name not in changes:
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
        for name, content in changes.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
