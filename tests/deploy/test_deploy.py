"""The deployment over real sockets: real servers, a real store, a real API server."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes

from components.deploy.step import Request, deploy
from serving.predictor.storage import fetched
from tests.deploy.conftest import Answering, put
from tests.deploy.controlled import CRASHES, NEVER, UP, Api
from tools.rendered import Object
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.model.package import Package, load_package
from toolwear.release import audit_log
from toolwear.release.blue_green import store
from toolwear.release.blue_green.cluster import Cluster, ClusterDownError, retries
from toolwear.release.blue_green.colours import filled
from toolwear.release.blue_green.logic import NotDeployedError, Pace
from toolwear.release.blue_green.notes import Notes
from toolwear.release.blue_green.target import DEPLOYMENT_FILE, Target, traffic_steps
from toolwear.workspace.home import Home

QUICK = Pace(ready=20, hold=0.05, poll=0.05)


@pytest.fixture
def run(
    api: Api, answering: Answering, telemetry: Path, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Deploy a package, by default the one that the servers answer by; return deployment.json."""

    def start(package: Package = answering.package, weights: str = "100", **more: Any) -> Any:
        output = tmp_path / "deployment"
        shutil.rmtree(output, ignore_errors=True)
        configuration = kubernetes.Configuration(host=api.url)
        configuration.retries = retries()
        with kubernetes.ApiClient(configuration) as client:
            deploy(
                request_for(package, telemetry, weights),
                Target(
                    Home(tmp_path / "home"),
                    Cluster(client),
                    answering.url,
                    more.get("pace", QUICK),
                ),
                output,
            )
        return json.loads((output / DEPLOYMENT_FILE).read_text())

    return start


def request_for(package: Package, telemetry: Path, weights: str = "100") -> Request:
    return Request(
        package=package.folder,
        digest=package.digest,
        version="7",
        telemetry=telemetry,
        model_name="toolwear",
        cause="on_demand",
        weights=weights,
    )


def log_of(home: Path) -> list[tuple[str, str]]:
    return [(x["action"], x["package"]) for x in audit_log.entries(Home(home / "home"))]


def settled(folder: Path) -> bool:
    return not any((folder / "home" / "deployments").glob("*.json"))


def defaulted(spec: Object) -> Object:
    """Return what the API server makes of a specification by KServe's definition."""
    for part in ("transformer", "explainer"):
        for container in spec[part]["containers"]:
            for port in container["ports"]:
                port["protocol"] = "TCP"
    return spec


def spec_of(api: Api, colour: str) -> Any:
    service = api.service(colour)
    return None if service is None else copy.deepcopy(service["spec"])


Run = Callable[..., dict[str, Any]]


# --- it works -----------------------------------------------------------------------------------


def test_the_first_model_gets_all_traffic_once_it_has_answered(
    run: Run, api: Api, answering: Answering, config_map: Object, tmp_path: Path
) -> None:
    done = run()
    digest = answering.package.digest
    assert done["deployed"]
    assert (done["colour"], done["before"], done["package_digest"]) == ("blue", "", digest)
    assert [answer["name"] for answer in done["answers"]] == [
        "known rows",
        "package",
        "faulty request",
        "explanation",
    ]
    assert all(answer["passed"] for answer in done["answers"])
    assert "200 of 200 rows" in done["answers"][0]["sentence"]
    # The manifest is the template's with the digest in its place, and nothing else is left on it.
    service = api.service("blue")
    assert service is not None
    assert settled(tmp_path)
    template = yaml.safe_load(config_map["data"]["blue.yaml"])
    assert service["spec"] == defaulted(filled(template, digest)["spec"])
    assert service["spec"]["predictor"]["model"]["storageUri"] == store.uri(digest)
    assert api.service("green") is None
    # No backend that is not there; and the traffic came last.
    assert api.weights() == {"blue": 100}
    assert [plural for plural, _, _ in api.applied] == ["inferenceservices", "httproutes"]
    # What KServe will fetch is the package, byte for byte.
    with fetched(store.uri(digest)) as folder:
        assert load_package(folder, digest).digest == digest
    assert log_of(tmp_path) == [("deploy", digest)]


def test_the_next_model_goes_beside_and_the_one_before_stays_to_go_back_to(
    run: Run, api: Api, blue: str, answering: Answering, tmp_path: Path
) -> None:
    before = spec_of(api, "blue")
    done = run()
    assert (done["colour"], done["before"], done["changed"]) == ("green", blue, True)
    assert api.weights() == {"green": 100}
    assert spec_of(api, "blue") == before
    assert settled(tmp_path)
    assert api.rolled == ["toolwear-blue", "toolwear-green"], "each once"
    # Once more: nothing to do but to ask.
    applied = len(api.applied)
    again = run()
    assert (again["colour"], again["changed"]) == ("green", False)
    assert len(again["answers"]) == 4
    assert len(api.applied) == applied


def test_traffic_moves_in_steps(run: Run, api: Api, blue: str) -> None:
    run(weights="10,50,100")
    moves = [
        {x["name"].split("-")[1]: x["weight"] for x in item["spec"]["rules"][0]["backendRefs"]}
        for plural, _, item in api.applied
        if plural == "httproutes"
    ]
    assert moves == [{"blue": 90, "green": 10}, {"blue": 50, "green": 50}, {"green": 100}]


def test_a_field_that_the_template_has_no_more_goes_away(
    run: Run, api: Api, blue: str, config_map: Object
) -> None:
    old = copy.deepcopy(config_map)
    old["data"]["green.yaml"] = old["data"]["green.yaml"].replace(
        "minReplicas: 1", "minReplicas: 1\n    timeout: 60"
    )
    put(api, old, "green", "c" * 64)
    assert spec_of(api, "green")["predictor"]["timeout"] == 60
    run()
    assert "timeout" not in spec_of(api, "green")["predictor"]


def test_the_api_may_be_away_for_a_moment(run: Run, api: Api, blue: str) -> None:
    asked = []

    def busy(method: str) -> int | None:
        asked.append(method)
        return 503 if len(asked) % 3 == 0 else None

    api.answer = busy
    assert run()["deployed"]
    assert "PATCH" in asked


# --- it does not, and everything is as it was ---------------------------------------------------


def test_a_model_that_answers_wrongly_gets_no_traffic(
    run: Run, api: Api, blue: str, packages: list[Package], config_map: Object, tmp_path: Path
) -> None:
    put(api, config_map, "green", "c" * 64)
    before = {colour: spec_of(api, colour) for colour in ("blue", "green")}
    # The servers answer by the first package, so the second one is not what is served.
    with pytest.raises(NotDeployedError, match="green answered wrongly") as raised:
        run(packages[1])
    assert "It serves the package" in str(raised.value)
    assert "422" in str(raised.value), "the explainer says that it explains another model"
    assert {colour: spec_of(api, colour) for colour in ("blue", "green")} == before
    assert settled(tmp_path)
    assert api.weights() == {"blue": 100}
    written = json.loads((tmp_path / "deployment" / DEPLOYMENT_FILE).read_text())
    assert not written["deployed"]
    assert "answered wrongly" in written["reason"]
    assert log_of(tmp_path) == [("not_deployed", packages[1].digest)]


def test_a_model_that_crashes_is_given_up_at_once_with_its_log(
    run: Run, api: Api, blue: str
) -> None:
    api.fate = lambda name, digest: CRASHES if name == "toolwear-green" else UP
    started = time.monotonic()
    with pytest.raises(NotDeployedError, match="CrashLoopBackOff") as raised:
        run(pace=Pace(ready=600, poll=0.05))
    assert time.monotonic() - started < 300, "it did not wait for the end of its time"
    assert "predictor: the package was changed" in str(raised.value)
    assert api.service("green") is None, "nothing was there before"
    assert api.weights() == {"blue": 100}


def test_a_model_that_does_not_come_up_in_time_is_given_up(run: Run, api: Api, blue: str) -> None:
    api.fate = lambda name, digest: NEVER if name == "toolwear-green" else UP
    with pytest.raises(NotDeployedError, match=r"Not up after 0.5 s: predictor \(0 of 1 avail"):
        run(pace=Pace(ready=0.5, poll=0.05))
    assert api.service("green") is None
    assert api.weights() == {"blue": 100}


def test_a_model_that_fails_under_traffic_loses_it(
    run: Run, api: Api, blue: str, config_map: Object
) -> None:
    put(api, config_map, "green", "c" * 64)
    before = spec_of(api, "green")

    def fate(name: str, digest: str) -> str:
        has_traffic = "green" in api.weights()
        return CRASHES if name == "toolwear-green" and has_traffic else UP

    api.fate = fate
    with pytest.raises(NotDeployedError, match="CrashLoopBackOff"):
        run(weights="10,100")
    assert api.weights() == {"blue": 100}
    assert spec_of(api, "green") == before


def test_an_api_that_goes_away_for_good_is_told_and_mended_by_the_next_deployment(
    run: Run,
    api: Api,
    blue: str,
    config_map: Object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("toolwear.release.blue_green.cluster._ATTEMPTS", 1)
    put(api, config_map, "green", "c" * 64)
    before = spec_of(api, "green")

    def gone_once_green_is_there(method: str) -> int | None:
        return 500 if spec_of(api, "green") != before else None

    api.answer = gone_once_green_is_there
    with pytest.raises(ClusterDownError, match="answered 500"):
        run()
    assert not settled(tmp_path)
    api.answer = lambda method: None
    assert run()["colour"] == "green"
    specs = [item["spec"] for plural, name, item in api.applied if name == "toolwear-green"]
    assert before in specs[2:], "what was there before was put back first"
    assert settled(tmp_path)


# --- killed in the middle -----------------------------------------------------------------------


def begin(api: Api, package: Package, telemetry: Path, home: Path) -> subprocess.Popen[str]:
    """Deploy in a process of its own, configured as a person's is."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": api.url}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    }
    home.mkdir(exist_ok=True)
    (home / "kubeconfig").write_text(yaml.safe_dump(config))
    program = (
        "import sys; from pathlib import Path; from toolwear.workspace.home import Home;"
        "from components.deploy.step import Request, deploy;"
        "from toolwear.release.blue_green.target import Target;"
        "package, digest, telemetry, home = sys.argv[1:];"
        "deploy(Request(Path(package), digest, '7', Path(telemetry), 'toolwear', 'on_demand'),"
        " Target(Home(Path(home))), Path(home) / 'out')"
    )
    arguments = [str(package.folder), package.digest, str(telemetry), str(home)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, "KUBECONFIG": str(home / "kubeconfig")},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + 60
    while not any(name == "toolwear-green" for _, name, _ in api.applied):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_a_run_that_is_cancelled_puts_back_what_was(
    api: Api, blue: str, answering: Answering, telemetry: Path, config_map: Object, tmp_path: Path
) -> None:
    put(api, config_map, "green", "c" * 64)
    before = spec_of(api, "green")
    api.applied.clear()
    api.fate = lambda name, digest: NEVER
    process = begin(api, answering.package, telemetry, tmp_path / "home")
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[0]
    assert process.returncode == 128 + signal.SIGTERM
    assert "putting back what was green before" in said
    assert spec_of(api, "green") == before
    assert settled(tmp_path)
    assert api.weights() == {"blue": 100}


def test_a_run_that_is_killed_is_mended_by_the_next(
    run: Run, api: Api, blue: str, answering: Answering, telemetry: Path, tmp_path: Path
) -> None:
    api.fate = lambda name, digest: NEVER if name == "toolwear-green" else UP
    process = begin(api, answering.package, telemetry, tmp_path / "home")
    process.kill()
    process.communicate(timeout=30)
    assert not settled(tmp_path)
    assert api.weights() == {"blue": 100}, "clients have not noticed"
    api.fate = lambda name, digest: UP
    assert run()["colour"] == "green"
    assert settled(tmp_path)
    assert api.weights() == {"green": 100}


@pytest.mark.parametrize(("percent", "stays"), [(10, False), (100, True)])
def test_killed_while_the_traffic_moved(
    run: Run,
    api: Api,
    blue: str,
    config_map: Object,
    answering: Answering,
    tmp_path: Path,
    percent: int,
    stays: bool,
) -> None:
    """At 100 % it had passed everything; before that it had not."""
    put(api, config_map, "green", "d" * 64)
    Notes(Home(tmp_path / "home")).write("green", None)
    route = yaml.safe_load(config_map["data"]["route.yaml"])
    for rule in route["spec"]["rules"]:
        for backend, weight in zip(rule["backendRefs"], (100 - percent, percent), strict=True):
            backend["weight"] = weight
    api.apply(route)
    done = run()
    assert done["before"] == ("d" * 64 if stays else blue)
    assert done["colour"] == ("blue" if stays else "green")
    assert settled(tmp_path)


# --- refused before anything is touched ---------------------------------------------------------


def test_faults_of_the_site_are_told_in_a_sentence(
    run: Run, api: Api, blue: str, config_map: Object
) -> None:
    with api.unbound(), pytest.raises(ToolwearError, match="bind the role toolwear-deployer"):
        run()
    api.templates(None)
    with pytest.raises(ToolwearError, match=r"python -m tools.models OVERLAY"):
        run()
    there = copy.deepcopy(config_map)
    there["data"]["green.yaml"] = there["data"]["green.yaml"].replace("0" * 64, "1" * 64)
    api.templates(there)
    with pytest.raises(ToolwearError, match="no place for a digest"):
        run()
    assert api.applied == []


def test_a_changed_package_goes_nowhere(
    run: Run, api: Api, packages: list[Package], tmp_path: Path
) -> None:
    copied = tmp_path / packages[0].digest
    shutil.copytree(packages[0].folder, copied)
    (copied / "model.onnx").chmod(0o644)
    (copied / "model.onnx").write_bytes(b"other")
    changed = Package(copied, packages[0].digest, {}, {}, packages[0].dataset)
    with pytest.raises(ToolwearError, match=r"model.onnx .* was changed"):
        run(changed)
    assert api.applied == []


def test_without_a_store_or_a_cluster_nothing_begins(
    run: Run,
    api: Api,
    answering: Answering,
    telemetry: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ToolwearError, match="see to the bucket"):
        run()
    assert api.applied == []
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    with pytest.raises(ToolwearError, match="no cluster to deploy to"):
        Cluster()


@pytest.mark.parametrize("text", ["", "0,100", "50,10,100", "10,50", "10,10,100", "a", "50,101"])
def test_steps_of_traffic_grow_to_100(text: str) -> None:
    with pytest.raises(ToolwearError, match="no steps of traffic"):
        traffic_steps(text)
    assert traffic_steps("10,50,100") == (10, 50, 100)
