"""The cluster's copies: made by the scripts of the CronJobs, lost, restored, compared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.backup.conftest import Copies
from tests.object_store import credentials, object_store
from tests.packages import make_package
from tests.ports import free_port
from tests.programs import program
from toolwear.common.fingerprint import ROOT
from toolwear.release import audit_log
from toolwear.workspace.home import Home

HERE = "127.0.0.1"
PASSWORD = "a-password-for-tests-only"


# --- Redis --------------------------------------------------------------------------------------


@contextmanager
def redis(folder: Path, port: int) -> Iterator[dict[str, str]]:
    """Start a store as the cluster's is started; give what the script has to know."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [
            *(program("redis-server"), "--requirepass", PASSWORD, "--appendonly", "yes"),
            *("--dir", str(folder), "--port", str(port), "--bind", HERE),
        ],
        stdout=subprocess.DEVNULL,
    )
    environment = {"REDIS_HOST": HERE, "REDIS_PORT": str(port), "REDISCLI_AUTH": PASSWORD}
    try:
        deadline = time.monotonic() + 60
        while "PONG" not in ask_redis(environment, "ping"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield environment
    finally:
        process.terminate()
        process.wait(60)


def ask_redis(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        ["redis-cli", "-p", environment["REDIS_PORT"], *words],
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",  # a dump is bytes
        check=False,
    )
    return done.stdout.strip()


def content(environment: dict[str, str]) -> dict[str, str]:
    """The value of every key, as Redis itself writes it down, with a checksum."""
    keys = sorted(ask_redis(environment, "keys", "*").split())
    return {key: ask_redis(environment, "dump", key) for key in keys}


def test_redis_is_restored_while_it_serves(copies: Copies, tmp_path: Path) -> None:
    with redis(tmp_path / "store", free_port()) as there:
        for run in range(20):
            ask_redis(there, "hset", f"run-{run}", "f0", str(run), "event", "2026-01-01")
        before = content(there)
        stamp = copies.backup("redis", there)
        ask_redis(there, "flushall")
        ask_redis(there, "set", "made-since", "1")
        more = {**there, "HERE": HERE, "SOURCE_PORT": str(free_port())}
        assert "20 keys are back" in copies.run("redis", "restore", stamp, given=more).stdout
        assert content(there) == before
        assert "role:master" in ask_redis(there, "info", "replication")
        assert ask_redis(there, "config", "get", "masterauth").split() == ["masterauth"]
        ask_redis(there, "set", "goes-on", "1")
    with redis(tmp_path / "store", free_port()) as there:
        assert content(there).keys() == before.keys() | {"goes-on"}, "it was written to the disk"


def test_a_store_that_is_away_leaves_no_copy(copies: Copies) -> None:
    program("redis-server")
    away = {"REDIS_HOST": HERE, "REDIS_PORT": str(free_port()), "REDISCLI_AUTH": PASSWORD}
    copies.run("redis", "backup", code=1, given=away)
    assert copies.stamps("redis") == []
    assert "there is no copy yet" in copies.run("redis", "restore", code=2, given=away).stderr


# --- what all scripts do ------------------------------------------------------------------------


def test_the_newest_copies_stay_and_one_that_was_changed_is_refused(
    copies: Copies, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    package = make_package(home.packages, 0)
    audit_log.append(home, action="promote", model="toolwear", to="1", who="me")
    given = {"TOOLWEAR_HOME": str(home.root)}
    copies.keep = 2
    stamps = [copies.backup("home", given) for _ in range(3)]
    assert copies.stamps("home") == stamps[1:]

    log = audit_log.entries(home)
    shutil.rmtree(home.root)
    copies.run("home", "restore", given=given)
    assert audit_log.entries(home) == log
    assert (home.packages / package.digest / "model.onnx").is_file()

    newest = copies.folder / "home" / stamps[2] / "home.tar.gz"
    newest.write_bytes(newest.read_bytes()[:-1] + b"\1")
    done = copies.run("home", "restore", code=2, given=given)
    assert f"the copy {stamps[2]} was changed" in done.stderr
    copies.run("home", "restore", stamps[1], given=given)
    done = copies.run("home", "restore", stamps[0], code=2, given=given)
    assert f"there is no copy {stamps[0]}; there are: {stamps[1]}" in done.stderr
    assert oct((copies.folder / "home").stat().st_mode & 0o077) == "0o0", "nobody else reads it"


@pytest.mark.parametrize("part", ["home", "postgres", "redis", "kubeflow", "objects"])
def test_a_word_that_no_script_knows_is_refused(copies: Copies, part: str) -> None:
    for words in ((), ("destroy",)):
        assert "usage:" in copies.run(part, *words, code=2).stderr


# --- the object store ---------------------------------------------------------------------------


def objects(store: Any, bucket: str) -> dict[str, tuple[bytes, dict[str, str]]]:
    found = {}
    for item in store.list_objects_v2(Bucket=bucket).get("Contents", []):
        answer = store.get_object(Bucket=bucket, Key=item["Key"])
        found[item["Key"]] = (answer["Body"].read(), answer["Metadata"])
    return found


def test_objects_are_copied_once_and_come_back(copies: Copies, tmp_path: Path) -> None:
    (tmp_path / "s3").mkdir()
    with object_store(tmp_path / "s3", "models") as url:
        given = credentials(url)
        store = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )
        copies.environment = {**given, "BUCKETS": "models"}
        copies.keep = 2
        large = os.urandom(10 << 20)  # more than one part of an upload
        store.put_object(Bucket="models", Key="a/model.onnx", Body=large, Metadata={"sha256": "x"})
        store.put_object(Bucket="models", Key="a/card.md", Body=b"one")
        store.put_object(Bucket="models", Key="a/same.md", Body=b"one")
        first = objects(store, "models")
        stamp = copies.backup("objects")
        blobs = list((copies.folder / "objects" / "blobs").glob("??/*"))
        assert len(blobs) == 2, "equal bytes lie there once"

        store.put_object(Bucket="models", Key="a/card.md", Body=b"two")
        time.sleep(1)  # a copy is named by its second
        assert "of which 1 were new" in copies.run("objects", "backup").stdout
        for key in first:
            store.delete_object(Bucket="models", Key=key)
        store.put_object(Bucket="models", Key="since", Body=b"stays")
        copies.run("objects", "restore", stamp)
        assert objects(store, "models") == {**first, "since": (b"stays", {})}
        copies.run("objects", "restore")
        assert objects(store, "models")["a/card.md"][0] == b"two"

        # The oldest copy goes, and the bytes that only it had; the rest stays whole.
        time.sleep(1)
        copies.run("objects", "backup")
        assert stamp not in copies.stamps("objects")
        store.delete_object(Bucket="models", Key="a/model.onnx")
        copies.run("objects", "restore")
        assert objects(store, "models")["a/model.onnx"] == (large, {"sha256": "x"})

        victim = max((copies.folder / "objects" / "blobs").glob("??/*"), key=_size)
        victim.write_bytes(b"other")
        store.delete_object(Bucket="models", Key="a/model.onnx")
        assert "was changed since" in copies.run("objects", "restore", code=1).stderr
        assert "a/model.onnx" not in objects(store, "models"), "nothing is put back then"


def _size(path: Path) -> int:
    return path.stat().st_size


# --- Kubeflow Pipelines' databases --------------------------------------------------------------


@contextmanager
def mysql(folder: Path) -> Iterator[dict[str, str]]:
    """A server that speaks MySQL's protocol, MariaDB: Debian has no other."""
    data, port = folder / "mysql", free_port()
    socket, user = folder / "s", f"--user={'root' if os.geteuid() == 0 else os.environ['USER']}"
    subprocess.run(
        [
            *(program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", user),
            "--auth-root-authentication-method=normal",
        ],
        check=True,
        capture_output=True,
    )
    process = subprocess.Popen(
        [
            *(program("mariadbd"), "--no-defaults", f"--datadir={data}", f"--port={port}", user),
            *(f"--bind-address={HERE}", f"--socket={socket}", "--skip-name-resolve"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    environment = {"MYSQL_HOST": HERE, "MYSQL_PORT": str(port), "MYSQL_USER": "root"}
    environment |= {"MYSQL_PWD": "", "DATABASES": "mlpipeline metadb cachedb"}
    try:
        deadline = time.monotonic() + 60
        while ask_mysql(environment, "SELECT 1") != "1":
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield environment
    finally:
        process.terminate()
        process.wait(60)


def ask_mysql(environment: dict[str, str], query: str) -> str:
    where = ["--host", HERE, "--port", environment["MYSQL_PORT"], "--user", "root"]
    command = ["mysql", "--no-defaults", *where, "--batch", "--skip-column-names"]
    done = subprocess.run(
        [*command, "--execute", query], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def test_the_databases_of_kubeflow_come_back(copies: Copies, tmp_path: Path) -> None:
    with mysql(tmp_path) as there:
        none = copies.run("kubeflow", "backup", code=2, given=there)
        assert "none of mlpipeline metadb cachedb" in none.stderr
        assert copies.stamps("kubeflow") == []
        for query in (
            "CREATE DATABASE mlpipeline",
            "CREATE DATABASE metadb",
            """CREATE TABLE mlpipeline.run_details (UUID varchar(64) PRIMARY KEY, Spec longtext,
            State varchar(64), Conditions varchar(64), FinishedAtInSec bigint)""",
            """INSERT INTO mlpipeline.run_details VALUES
            ('a', REPEAT('x', 100000), 'SUCCEEDED', 'Succeeded', 7),
            ('b', 'é', 'CANCELED', '', 8)""",
            "CREATE TABLE metadb.Artifact (id int PRIMARY KEY AUTO_INCREMENT, uri text)",
            "INSERT INTO metadb.Artifact (uri) VALUES ('minio://one'), ('minio://two')",
        ):
            ask_mysql(there, query)
        checked = "CHECKSUM TABLE mlpipeline.run_details, metadb.Artifact"
        before = ask_mysql(there, checked)
        assert "NULL" not in before
        at_work = "INSERT INTO mlpipeline.run_details VALUES ('c', 'c', 'RUNNING', 'Running', 0)"
        ask_mysql(there, at_work)
        copies.backup("kubeflow", there)
        ask_mysql(there, "DROP DATABASE mlpipeline")
        ask_mysql(there, "DELETE FROM metadb.Artifact")
        copies.run("kubeflow", "restore", given=there)
        # What was at work when it was copied has ended: its workflow is gone.
        ended = "SELECT State, Conditions, FinishedAtInSec > 0 FROM mlpipeline.run_details"
        assert ask_mysql(there, f"{ended} WHERE UUID = 'c'").split() == ["FAILED", "Failed", "1"]
        ask_mysql(there, "DELETE FROM mlpipeline.run_details WHERE UUID = 'c'")
        assert ask_mysql(there, checked) == before
        ask_mysql(there, "INSERT INTO metadb.Artifact (uri) VALUES ('minio://three')")
        assert ask_mysql(there, "SELECT MAX(id) FROM metadb.Artifact") == "3"


# --- one command --------------------------------------------------------------------------------

FAKE = """#!/usr/bin/env python3
import json, os, sys
from pathlib import Path
import yaml
here, words = Path(os.environ["FAKE"]), sys.argv[1:]
with (here / "calls").open("a") as stream:
    stream.write(json.dumps(words) + "\\n")
if "cronjob" in words:
    name = words[words.index("cronjob") + 1].removeprefix("backup-")
    print(json.dumps(yaml.safe_load(Path("manifests/backup", f"{name}.yaml").read_text())))
elif "create" in words:
    job = json.load(sys.stdin)
    (here / "jobs").open("a").write(json.dumps(job) + "\\n")
    print("job.batch/" + job["metadata"]["generateName"] + "1")
elif words[2] == "get" and words[3].startswith("job.batch/"):
    ended = "Failed" if os.environ.get("FAILS", "none") in words[3] else "Complete"
    print(json.dumps({"status": {"conditions": [{"type": ended, "status": "True"}]}}))
elif "deployment" in words and "get" in words:
    print(json.dumps({"spec": {"replicas": 2, "selector": {"matchLabels": {"app": words[4]}}}}))
elif "logs" in words:
    print("20260101T012000Z")
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    program_file = tmp_path / "bin" / "kubectl"
    program_file.write_text(FAKE.replace("/usr/bin/env python3", shutil.which("python") or ""))
    program_file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.chdir(ROOT)
    return tmp_path


def noted(folder: Path, what: str) -> list[Any]:
    return [json.loads(line) for line in (folder / what).read_text().splitlines()]


def test_one_command_makes_lists_and_restores(
    kubectl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tools import backups

    assert backups.main(["backup"]) == 0
    jobs = noted(kubectl, "jobs")
    assert [job["metadata"]["generateName"] for job in jobs] == [
        f"{part}-backup-" for part in backups.PARTS
    ]
    for job, (name, part) in zip(jobs, backups.PARTS.items(), strict=True):
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert job["metadata"]["namespace"] == part.namespace
        script = container["command"][1].removeprefix("/scripts/")
        assert (ROOT / "manifests" / "backup" / "scripts" / script).is_file()
        assert container["command"][2] == "backup"
        assert script.startswith(name)

    assert backups.main(["restore", "postgres", "--at", "20260101T012000Z"]) == 0
    job = noted(kubectl, "jobs")[-1]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"][2:] == ["restore", "20260101T012000Z"]
    assert job["spec"]["backoffLimit"] == 0
    scaled = [call[-2:] for call in noted(kubectl, "calls") if "scale" in call]
    assert scaled == [
        ["mlflow", "--replicas=0"],
        ["feast", "--replicas=0"],
        ["mlflow", "--replicas=2"],
        ["feast", "--replicas=2"],
    ]
    assert backups.main(["list", "home"]) == 0
    assert "20260101T012000Z" in capsys.readouterr().out


def test_a_restore_that_fails_starts_the_writers_again(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tools import backups

    monkeypatch.setenv("FAILS", "home-restore")
    assert backups.main(["restore", "home"]) == 1
    assert "home-restore-1 failed" in capsys.readouterr().err
    scaled = [call[-2:] for call in noted(kubectl, "calls") if "scale" in call]
    assert scaled[-1] == ["console", "--replicas=2"]
    for words in (["restore", "--at", "x"], ["restore", "etcd"]):
        with pytest.raises(SystemExit) as ended:
            backups.main(words)
        assert ended.value.code == 2
