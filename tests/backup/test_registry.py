"""MLflow on PostgreSQL and S3, as the cluster starts it: our registry on it, and its copy."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import pandas as pd
import pytest
import yaml

from components.decide.evidence import Folders as Judged
from components.decide.step import decide
from components.promote.step import promote
from components.register.contents import Folders, Lineage
from components.register.step import Registered, register
from tests.backup.conftest import Copies
from tests.object_store import credentials, object_store
from tests.ports import free_port
from tests.postgres import Postgres, postgres
from tests.run_artifacts import RunArtifacts, make_run
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.common.states import State
from toolwear.model.package import load_package
from toolwear.model.pyfunc import PackageModel
from toolwear.release import approvals
from toolwear.release.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, mlflow_module
from toolwear.release.registry_state import reconcile, roll_back
from toolwear.release.rollout import Mode
from toolwear.release.tracking import EXPERIMENT, HERE, Beginning, Tracking
from toolwear.workspace.home import TRACKING_VARIABLE, Home

NAME, CAUSE = "toolwear", "on_demand: a test"
MANIFEST = ROOT / "manifests" / "base" / "mlflow" / "deployment.yaml"
DATABASES = {"DATABASES": "mlflow feast"}


@contextmanager
def mlflow(database: Postgres, store: dict[str, str], log: Path) -> Iterator[str]:
    """Start the server by the command of its Deployment; give its address."""
    pod = yaml.safe_load(MANIFEST.read_text())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    port = free_port()
    replaced = {
        "--host=0.0.0.0": "--host=127.0.0.1",
        "--port=5000": f"--port={port}",
        "--backend-store-uri=$(MLFLOW_DATABASE)": f"--backend-store-uri={database.mlflow_url}",
    }
    program, *words = container["command"]
    assert replaced.keys() <= set(words)
    fixed = {item["name"]: item["value"] for item in container["env"] if "value" in item}
    with log.open("a") as stream:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name(program)),
                *(replaced.get(word, word) for word in words),
            ],
            env={**os.environ, **store, **fixed},
            stdout=stream,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 240
        while True:
            assert process.poll() is None, log.read_text()
            try:
                if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(60)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with object_store(tmp_path_factory.mktemp("s3"), "toolwear-mlflow") as url:
        yield credentials(url)


def enroll(
    run: RunArtifacts, home: Home, uri: str, work: Path, tracking: Tracking | None = None
) -> Registered:
    """Judge and register, by the steps' own code."""
    folders = Judged(
        run.evaluation, run.explanation, run.split, run.validation, run.features, run.automl
    )
    decide(folders, home, uri, NAME, run.root.name, 0, work / "decision", CAUSE)
    return register(
        Folders(
            run.evaluation, run.explanation, run.split, run.features, run.automl, work / "decision"
        ),
        Lineage("c" * 40, run.root.name, "e" * 64, 0, CAUSE),
        NAME,
        home,
        uri,
        work / "registration",
        work / "package",
        tracking,
    )


def loads_by_mlflow_alone(uri: str, package: Path) -> None:
    """See that who has MLflow's address and nothing else gets the service's answers."""
    mlflow_module().set_tracking_uri(None)
    with pytest.MonkeyPatch.context() as only:
        only.setenv(TRACKING_VARIABLE, uri)
        loaded = mlflow_module().pyfunc.load_model(f"models:/{NAME}@{CHAMPION}")
    rows = load_package(package).reference()["X"][:50].copy()
    rows[0, 1] = 1e6
    asked = pd.DataFrame(rows, columns=list(load_package(package).features))
    answered = loaded.predict(asked)
    pd.testing.assert_frame_equal(answered, PackageModel(package).predict(asked))
    assert answered["verdict"][0] == "not_sure"


def enthrone(made: Registered, home: Home, uri: str, work: Path) -> None:
    """Promote what was registered."""
    answers = {"passed": True, "reason": "", "package_digest": made.digest}
    jsonfile.write(work / "check" / "check.json", answers)
    promote(
        work / "decision",
        work / "registration",
        work / "check",
        CAUSE,
        home,
        uri,
        work / "promotion",
    )


def seen(uri: str, home: Home) -> dict[str, Any]:
    """All that the registry knows of the model."""
    client = Registry(home, uri, NAME).client
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id])
    versions = client.search_model_versions(f"name = '{NAME}'")
    return {
        "aliases": dict(client.get_registered_model(NAME).aliases),
        "versions": {one.version: (one.source, one.run_id, dict(one.tags)) for one in versions},
        "runs": {one.info.run_id: (dict(one.data.params), dict(one.data.metrics)) for one in runs},
        "artifacts": {
            one.info.run_id: sorted(found.path for found in client.list_artifacts(one.info.run_id))
            for one in runs
        },
    }


@pytest.mark.timeout(900)  # MLflow lays out its tables, and starts twice
def test_the_registry_on_postgresql_and_s3_is_lost_and_comes_back(
    copies: Copies, store: dict[str, str], tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    log = tmp_path / "mlflow.log"
    first = make_run(tmp_path / "first")
    with postgres() as database:
        port = database.port
        with mlflow(database, store, log) as uri:
            works = tmp_path / "work-1", tmp_path / "work-2"
            tracking = Tracking(home, uri, NAME, Beginning("run-1", {"seed": 0}, source=HERE))
            made = enroll(first, home, uri, works[0], tracking)
            enthrone(made, home, uri, works[0])
            tracking.end(State.SUCCEEDED, "", {})
            found = Registry(home, uri, NAME)
            run = found.client.get_run(found.version("1").run_id)
            assert (run.info.run_name, run.info.status) == ("run-1", "FINISHED")
            assert run.data.metrics["known_runs.accuracy"] > 0.5
            loads_by_mlflow_alone(uri, home.packages / made.digest)
            second = found.version(enroll(make_run(tmp_path / "2", 1), home, uri, works[1]).version)
            approvals.hold(found, second, "1", Mode.DIRECT, "it won", CAUSE)
            approvals.allow(home, second.number, "looked at it", mlflow_uri=uri)
            before = seen(uri, home)
            assert before["aliases"] == {CHALLENGER: "2", CHAMPION: "2", PREVIOUS: "1"}
            artifacts = [path for paths in before["artifacts"].values() for path in paths]
            assert artifacts
            bucket = boto3.client("s3", endpoint_url=store["AWS_ENDPOINT_URL"], **_keys(store))
            assert bucket.list_objects_v2(Bucket="toolwear-mlflow")["KeyCount"] >= len(artifacts)
            assert database.ask("mlflow", "SELECT count(*) FROM model_versions") == "2"

            copies.environment = {**database.environment, **DATABASES}
            stamp = copies.backup("postgres")
            assert roll_back(home.root, "for a test", uri)["to"] == "1"
            found.client.create_registered_model("made-since")
            database.ask("mlflow", "CREATE TABLE made_since (x int)")
            copies.run("postgres", "restore", stamp)
            assert seen(uri, home) == before
            assert found.client.search_registered_models("name = 'made-since'") == []
            assert database.ask("mlflow", "SELECT to_regclass('made_since')") == ""
    # And all of the machine gone: the databases of a new one are empty.
    with postgres(port) as database:
        assert database.ask("mlflow", "SELECT to_regclass('model_versions')") == ""
        copies.run("postgres", "restore")
        owner = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        assert database.ask("mlflow", owner) == "mlflow"
        with mlflow(database, store, log) as uri:
            assert seen(uri, home) == before
            # Servers were told to serve the version before, so a person says which one counts.
            with pytest.raises(ToolwearError, match="toolwear reconcile"):
                roll_back(home.root, "it goes on", uri)
            reconcile(home, "the registry counts", serve_registered=True, mlflow_uri=uri)
            assert roll_back(home.root, "it goes on", uri)["to"] == "1"


def _keys(store: dict[str, str]) -> dict[str, str]:
    return {
        "aws_access_key_id": store["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": store["AWS_SECRET_ACCESS_KEY"],
        "region_name": "us-east-1",
    }
