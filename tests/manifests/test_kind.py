"""What `make kind-up` and `make e2e` would call, in which order, and what they say when it fails.

No cluster is made here: the programs are stand-ins. The API of Kubeflow Pipelines is a stub, asked
by the real client through a forwarded port.
"""

from __future__ import annotations

import shutil
import time
from types import SimpleNamespace

import httpx
import pytest
import yaml

from tests.manifests.kind_machine import Machine, Model
from tools import secrets, versions
from tools.kind.__main__ import main
from tools.kind.programs import Programs
from tools.kind.steps import STEPS
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE
from toolwear.common.fingerprint import ROOT


def order(calls: list[str], *parts: str) -> None:
    """See that calls with these parts are there, the first of each in this order."""
    places = [next(i for i, call in enumerate(calls) if part in call) for part in parts]
    assert places == sorted(places), list(zip(parts, places, strict=True))


def test_another_cluster_gets_everything_but_a_run(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", "staging"]) == 0
    calls = machine.calls()
    order(
        calls,
        f"env/platform-agnostic?ref={versions.KFP}",
        "helm upgrade --install cert-manager",
        "helm upgrade --install kserve-crd",
        "helm upgrade --install envoy-gateway",
        "kubectl create --filename -",
        f"--kustomize {ROOT / 'manifests' / 'overlays' / 'staging'}",
        "rollout status deployment/trigger",
    )
    assert calls[-1] == "kubectl apply --server-side --filename -", "the models' manifests"
    assert set(machine.state("secrets")) == {one.name for one in secrets.SECRETS}
    assert not any(call.startswith(("kind", "docker")) or "--context" in call for call in calls)
    machine.tell(fails=["envoy-gateway"])
    assert main(["install", "production", "--steps", "gateway", "system"]) == EXIT_FAILURE
    again = 'make cluster-install OVERLAY=production STEPS="gateway system"'
    assert f"go on from here with: {again}" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        main(["install", "kind"])


def test_from_nothing_to_an_answer_and_once_more(
    machine: Machine, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLWEAR_DATA", "/a/folder/of/this/machine")
    assert main(["up", "--version", "v1"]) == 0
    calls = machine.calls()
    order(
        calls,
        "kind get clusters",
        f"kind create cluster --config {ROOT / 'kind-config.yaml'} --image kindest/node:v",
        "docker exec toolwear-control-plane chown 65532:65532 /var/lib/toolwear",
        "patch daemonset kindnet",
        "kind load docker-image --name toolwear toolwear/pipeline:dev toolwear/automl:dev",
        f"cluster-scoped-resources?ref={versions.KFP}",
        "wait --for condition=established",
        f"env/platform-agnostic?ref={versions.KFP}",
        "rollout status deployment/ml-pipeline ",
        "helm --kube-context kind-toolwear upgrade --install cert-manager",
        "upgrade --install kserve-crd",
        "upgrade --install kserve oci://ghcr.io/kserve/charts/kserve-resources",
        "upgrade --install envoy-gateway",
        "apply --server-side --filename -",
        "create --filename -",
        "delete job object-store-buckets",
        f"--kustomize {ROOT / 'manifests/overlays/kind'}",
        "rollout status statefulset/postgres",
        "wait --for condition=complete --timeout=10m job/object-store-buckets",
        "port-forward svc/ml-pipeline",
        "port-forward svc/envoy-toolwear",
    )
    requests = [call.partition("set resources ")[2] for call in calls if "set resources" in call]
    assert requests == [
        f"deployment/{name} --containers={container} --requests=memory={mebibytes}Mi"
        for (name, mebibytes), container in zip(
            versions.KFP_ON_KIND.items(),
            ("ml-pipeline-api-server", "ml-pipeline-persistenceagent", "workflow-controller"),
            strict=True,
        )
    ], "not what waits before them, whose limits are lower"
    assert any(f"MAX_WORKFLOW_SIZE={versions.WORKFLOW_BYTES}" in call for call in calls)
    kserve = next(call for call in calls if "kserve-resources" in call)
    assert "disableIstioVirtualHost=true" in kserve
    assert f"--version {versions.KSERVE}" in kserve
    assert "deploymentMode=Standard" in kserve
    assert machine.state("secrets") == [one.name for one in secrets.SECRETS for _ in one.namespaces]
    (run,) = machine.kubeflow.runs
    parameters = run["runtime_config"]["parameters"]
    assert parameters["deploy_model"] is True
    assert parameters["search_evaluations"] >= 4, "not by the clock, which a busy node outruns"
    assert parameters["data"] == "", "not this machine's folder"
    shown = capfd.readouterr().out
    assert "a row without a column: 400" in shown
    assert "svc/ml-pipeline-ui" in shown
    # Once more: nothing is made twice, and no password changes.
    assert main(["up", "--steps", "cluster", "system", "models"]) == 0
    again = machine.calls()[len(calls) :]
    assert not any("kind create" in call or "create --filename" in call for call in again)
    assert main(["down"]) == 0
    assert machine.state("clusters") == []


def test_a_step_that_fails_says_what_the_cluster_knows_and_how_to_go_on(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.tell(fails=["kserve-resources"])
    assert main(["up", "--steps", "cert-manager", "kserve", "gateway"]) == EXIT_FAILURE
    told = capfd.readouterr()
    assert "toolwear/stuck" in told.out
    assert "main: Pending" in told.out
    assert "it cannot start" in told.out
    assert 'make kind-up STEPS="kserve gateway"' in told.err
    assert not any("envoy-gateway" in call for call in machine.calls())


def test_images_have_to_be_there(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.tell(fails=["image inspect --format {{.Id}} toolwear/automl:dev"])
    assert main(["up", "--steps", "images"]) == EXIT_USAGE
    assert "make images" in capsys.readouterr().err


def test_what_a_machine_lacks_is_said_before_anything_is_made(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.tell(docker={"NCPU": 2, "MemTotal": 8 << 30, "DockerRootDir": str(machine.folder)})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=20 << 30))
    assert main(["up", "--steps", "cluster"]) == EXIT_USAGE
    told = capsys.readouterr()
    assert "it takes 4 CPUs, 12 GiB of memory and 60 GiB of free disk" in told.out
    assert "CPUs: 2 CPUs, and it takes 4" in told.err
    assert "memory: 8 GiB, and it takes 12" in told.err
    assert "disk: 20 GiB, and it takes 60" in told.err
    assert not any("kind create" in call for call in machine.calls())
    # Of a cluster that is there nothing is asked again: it has taken its disk.
    machine.tell(clusters=["toolwear"])
    assert main(["up", "--steps", "cluster"]) == 0


def test_a_run_that_is_declined_ends_in_failure_where_no_model_serves(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    declined = {"action": "decline", "why": "refuse_threshold: 64 % are too few."}
    machine.tell(decided=declined)
    assert main(["up", "--steps", "pipeline", "ask", "--version", "v"]) == EXIT_FAILURE
    assert "declined: refuse_threshold: 64 % are too few. So no model serves." in (
        capfd.readouterr().err
    )
    assert not any("svc/envoy-toolwear" in call for call in machine.calls())
    machine.tell(routes=["httproute.gateway.networking.k8s.io/toolwear"])
    assert main(["up", "--steps", "pipeline", "ask", "--version", "v"]) == 0
    assert "declined: refuse_threshold" in capfd.readouterr().out


def test_a_forwarded_port_that_is_cut_is_opened_again(
    machine: Machine, model: type[Model], capfd: pytest.CaptureFixture[str]
) -> None:
    machine.tell(cut=True)
    with Programs("").forwarded("envoy-gateway-system", "svc/envoy-toolwear", 80) as address:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{address}/metrics", trust_env=False)
        machine.tell(cut=False)
        while True:  # pytest's time limit is its end
            try:
                answer = httpx.get(f"{address}/metrics", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
    assert answer.status_code == 404
    assert "the way to svc/envoy-toolwear was cut; opening it again" in capfd.readouterr().out


def test_a_gateway_without_a_service_is_told(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.tell(gateway="")
    assert main(["up", "--steps", "ask"]) == EXIT_FAILURE
    assert "the gateway has no Service yet" in capfd.readouterr().err


def test_a_pod_without_a_log_does_not_end_the_look_at_the_others(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.tell(fails=["logs stuck", "kserve-resources"])
    assert main(["up", "--steps", "kserve"]) == EXIT_FAILURE
    told = capfd.readouterr().out
    assert "logs st fails as told" in told
    assert "--- the last warnings" in told


def test_a_pipeline_that_fails_fails_the_command(machine: Machine) -> None:
    machine.kubeflow.plan = ["FAILED"]
    assert main(["up", "--steps", "pipeline", "ask", "--version", "v"]) == EXIT_FAILURE
    assert not any("svc/envoy-toolwear" in call for call in machine.calls())


def test_an_explainer_of_another_model_is_noticed(
    machine: Machine, model: type[Model], capfd: pytest.CaptureFixture[str]
) -> None:
    model.explains = "b" * 64
    assert main(["up", "--steps", "ask"]) == EXIT_FAILURE
    assert "explains another model" in capfd.readouterr().err


def test_e2e_takes_its_cluster_away_even_if_it_fails(machine: Machine) -> None:
    machine.tell(fails=["platform-agnostic"])
    assert main(["e2e"]) == EXIT_FAILURE
    assert machine.calls()[-1] == "kind delete cluster --name toolwear"
    assert machine.state("clusters") == []


def test_e2e_in_a_cluster_that_is_given_makes_and_takes_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(machine.folder / "kubeconfig"))
    assert main(["e2e", "--version", "v"]) == 0
    assert not any(call.startswith(("kind", "helm", "docker")) for call in machine.calls())
    assert not any(" apply " in call or "--context" in call for call in machine.calls())
    (run,) = machine.kubeflow.runs
    assert run["display_name"].startswith("e2e-")


def test_e2e_uses_the_kind_cluster_that_is_there(machine: Machine) -> None:
    machine.tell(clusters=["toolwear"], fails=["port-forward"])
    assert main(["e2e", "--version", "v"]) == EXIT_FAILURE
    assert any("--context kind-toolwear" in call for call in machine.calls())
    assert not any("apply" in call or "delete" in call for call in machine.calls())


def test_the_kind_configuration_names_the_cluster_and_steps_have_sentences() -> None:
    config = yaml.safe_load((ROOT / "kind-config.yaml").read_text())
    assert (config["kind"], config["name"]) == ("Cluster", "toolwear")
    assert all((step.__doc__ or "").endswith(".") for step in STEPS.values())
