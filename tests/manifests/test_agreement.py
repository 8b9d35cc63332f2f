"""What the manifests name is there in the code, and the other way round."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest
import yaml

from pipelines.settings import SEAL_SECRET
from tests.manifests.listening import named_ports
from tests.manifests.traffic import Pods, refusals
from tests.programs import program
from tools import budget, secrets
from tools.rendered import KSERVE_PORT, OVERLAYS, Object, of_kind, workloads
from toolwear.common import ports
from toolwear.common.errors import EXIT_USAGE
from toolwear.common.fingerprint import ROOT
from toolwear.common.thresholds import thresholds

Rendered = dict[str, list[Object]]
MONITORING = ROOT / "manifests" / "monitoring"
SCRAPE = MONITORING / "cluster" / "scrape.yaml"
APP = "app.kubernetes.io/name"


def servers(objects: list[Object]) -> dict[str, Any]:
    """The containers of the blue model's three components."""
    return {
        workload.name.rpartition(" ")[2]: workload.containers[0]
        for workload in workloads(objects)
        if "toolwear-blue" in workload.name
    }


def test_the_servers_are_modules_that_take_these_options(rendered: Rendered) -> None:
    found = servers(rendered["kind"])
    assert set(found) == {"predictor", "transformer", "explainer"}
    for name, container in found.items():
        assert container["command"] == ["python", "-m", f"serving.{name}"]
        done = subprocess.run(
            # --help is read last: every option before it has to be known.
            [sys.executable, "-m", f"serving.{name}", *container["args"], "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        options = [word for word in container["args"] if word.startswith("--")]
        assert options
        for option in options:
            assert option in done.stdout


def test_the_other_servers_take_their_options_and_listen_where_it_is_said(
    rendered: Rendered,
) -> None:
    expected = {"monitor": ports.MONITOR, "trigger": ports.TRIGGER, "console": ports.CONSOLE}
    for workload in workloads(rendered["kind"]):
        name = workload.name.rpartition("/")[2]
        if name not in expected:
            continue
        (container,) = workload.containers
        python, *words = container["command"]
        assert python == "python"
        done = subprocess.run(
            [sys.executable, *words, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        port = expected.pop(name)
        assert f"--http_port={port}" in words
        assert container["ports"] == [{"name": "http", "containerPort": port}]
    assert expected == {}


def test_addresses_in_the_settings_are_services(rendered: Rendered) -> None:
    settings = next(
        item["data"]
        for item in of_kind(rendered["kind"], "ConfigMap")
        if item["metadata"]["name"] == "toolwear-settings"
        and item["metadata"]["namespace"] == "toolwear"
    )
    there = {
        f"http://{item['metadata']['name']}" + ("" if port["port"] == 80 else f":{port['port']}")
        for item in of_kind(rendered["kind"], "Service")
        for port in item["spec"]["ports"]
    }
    named = {name: value for name, value in settings.items() if name.endswith("_URL")}
    own = {name: value for name, value in named.items() if "." not in value}
    assert len(own) == 7
    assert set(own.values()) <= there


def test_a_models_servers_listen_where_kserve_tells_them_and_grpc_where_the_hop_asks(
    rendered: Rendered,
) -> None:
    found = {
        name: {port["name"]: port["containerPort"] for port in container["ports"]}
        for name, container in servers(rendered["kind"]).items()
    }
    assert found == {
        "predictor": {"http": KSERVE_PORT, "grpc": ports.PREDICTOR_GRPC},
        "transformer": {"http": KSERVE_PORT},
        "explainer": {"http": KSERVE_PORT},
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_gate_knows_the_memory_of_every_server_that_holds_a_model(
    rendered: Rendered, overlay: str
) -> None:
    found = servers(rendered[overlay])
    (found["monitor"],) = (
        workload.containers[0]
        for workload in workloads(rendered[overlay])
        if workload.name.endswith("/monitor")
    )
    known = thresholds().serving.servers
    assert set(known) == {"predictor", "monitor", "explainer"}
    for name, server in known.items():
        assert budget.memory(found[name]["resources"]["limits"]["memory"]) == server.limit_mib, name


def test_modules_named_by_commands_exist(rendered: Rendered) -> None:
    modules = {
        words[words.index("-m") + 1]
        for workload in workloads(rendered["production"])
        for container in workload.containers
        if "-m" in (words := container.get("command", []))
    }
    assert modules == {"serving.monitor", "serving.trigger", "serving.console"} | {
        f"serving.{name}" for name in servers(rendered["production"])
    }
    assert all(importlib.util.find_spec(module) for module in modules)


def test_every_rule_file_is_listed() -> None:
    listed = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())["configMapGenerator"]
    rules = next(item["files"] for item in listed if item["name"] == "prometheus-rules")
    assert rules == sorted(f"rules/{path.name}" for path in (MONITORING / "rules").iterdir())


def targets() -> list[tuple[str, str, int]]:
    """Job, host and port of all that Prometheus asks in the cluster but itself."""
    found = []
    for job in yaml.safe_load(SCRAPE.read_text())["scrape_configs"]:
        for sd in job.get("dns_sd_configs", []):
            found += [(job["job_name"], name, sd["port"]) for name in sd["names"]]
        for static in job.get("static_configs", []):
            for host, _, port in (target.partition(":") for target in static["targets"]):
                found += [(job["job_name"], host, int(port))] if host != "localhost" else []
    return found


def test_prometheus_asks_the_servers_under_the_name_that_the_rules_know() -> None:
    (local,) = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())["scrape_configs"]
    there = yaml.safe_load(SCRAPE.read_text())["scrape_configs"]
    (job,) = (item for item in there if item["job_name"] == local["job_name"])
    assert job["honor_labels"] is local["honor_labels"] is True
    for static in job["static_configs"]:
        assert static["targets"][0].partition(":")[0] == static["labels"]["server"]
    names = {host.removesuffix("-metrics") for name, host, _ in targets() if name == "toolwear"}
    labels = {target["labels"]["server"] for target in local["static_configs"]}
    assert names == labels - {"front"}, "there an HTTPRoute divides the traffic"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_prometheus_asks_listens_and_lets_it_in(rendered: Rendered, overlay: str) -> None:
    objects = rendered[overlay]
    services = {item["metadata"]["name"]: item["spec"] for item in of_kind(objects, "Service")}
    asked = set()
    for job, host, port in targets():
        (name,) = services[host]["selector"].values()
        assert [item["port"] for item in services[host]["ports"]] == [port]
        if job == "toolwear":
            expected = {"monitor": ports.MONITOR, "trigger": ports.TRIGGER}
            assert port == expected.get(name, KSERVE_PORT)
        behind = [one for one in workloads(objects) if one.labels.get(APP) == name]
        assert behind
        for workload in behind:
            assert port in named_ports(workload).values()
        prometheus = Pods(secrets.NAMESPACE, {APP: "prometheus"})
        assert refusals(objects, prometheus, f"{host}:{port}") == []
        asked.add(name)
    assert asked == let_out(objects, "prometheus")


def let_out(objects: list[Object], name: str) -> set[str]:
    """The pods, by name, that the policy of some pods lets them ask."""
    (policy,) = (
        item
        for item in of_kind(objects, "NetworkPolicy")
        if item["spec"]["podSelector"].get("matchLabels") == {APP: name}
    )
    return {
        peer["podSelector"]["matchLabels"][APP]
        for rule in policy["spec"]["egress"]
        for peer in rule["to"]
    }


def test_promtool_takes_the_scrape_configuration() -> None:
    done = subprocess.run(
        [program("promtool"), "check", "config", "--syntax-only", str(SCRAPE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_secret_named_is_made_and_each_made_is_named(rendered: Rendered) -> None:
    named = set(secrets_named(rendered["production"]))
    made = {(one.name, key) for one in secrets.SECRETS for key in one.make("key", "secret")}
    assert made == {(one.name, key) for one in secrets.SECRETS for key in one.holds}
    whole = {name for name, key in named if key is None}
    assert {name for name, _ in named} == {name for name, _ in made}
    assert {pair for pair in named if pair[1]} == {pair for pair in made if pair[0] not in whole}


def secrets_named(objects: list[Object]) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    # That of Kubeflow's database is made by Kubeflow's installation.
    ours = [one for one in workloads(objects) if one.namespace == secrets.NAMESPACE]
    for workload in ours:
        for container in workload.containers:
            for source in container.get("envFrom", []):
                found += [(source["secretRef"]["name"], None)] if "secretRef" in source else []
            for variable in container.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference:
                    found.append((reference["name"], reference["key"]))
    return found


def test_secrets_are_printed_once_the_object_store_has_a_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in secrets.S3_KEYS:
        monkeypatch.delenv(name, raising=False)
    assert secrets.main() == EXIT_USAGE
    assert "AWS_ACCESS_KEY_ID" in capsys.readouterr().err
    for name in secrets.S3_KEYS:
        monkeypatch.setenv(name, "given")
    assert secrets.main() == 0
    first = list(yaml.safe_load_all(capsys.readouterr().out))
    assert secrets.main() == 0
    second = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [(item["metadata"]["name"], item["metadata"]["namespace"]) for item in first] == [
        (one.name, namespace) for one in secrets.SECRETS for namespace in one.namespaces
    ]
    (here, steps) = [item for item in first if item["metadata"]["name"] == SEAL_SECRET]
    assert here["data"] == steps["data"], "steps and servers seal with one key"
    data = [{item["metadata"]["name"]: item["data"] for item in items} for items in (first, second)]
    assert data[0]["toolwear-s3"] == data[1]["toolwear-s3"]
    assert data[0]["toolwear-redis"] != data[1]["toolwear-redis"]
