"""What the Prometheus Operator is given: the servers, names and rules of our own Prometheus."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.manifests.listening import named_ports
from tests.manifests.schemas import CRDS, faults
from tests.manifests.test_agreement import APP, MONITORING, SCRAPE, targets
from tests.programs import program
from tools.operator_rules import RULES, prometheus_rule
from tools.rendered import Object, of_kind, render, workloads
from toolwear.common.fingerprint import ROOT

Rendered = dict[str, list[Object]]


@pytest.fixture(scope="module")
def objects(rendered: Rendered) -> list[Object]:
    assert rendered  # kustomize is here
    return render("monitoring/operator")


def one(objects: list[Object], kind: str) -> Any:
    (found,) = of_kind(objects, kind)
    return found["spec"]


def selected(selector: dict[str, Any], objects: list[Object]) -> dict[str, dict[str, int]]:
    """The servers that a selector means, each with the ports that its pods listen on."""
    (expression,) = selector["matchExpressions"]
    assert (expression["key"], expression["operator"]) == (APP, "In")
    found = {
        workload.labels[APP]: named_ports(workload)
        for workload in workloads(objects)
        if workload.labels.get(APP) in expression["values"]
    }
    assert set(found) == set(expression["values"])
    return found


def test_it_asks_whom_our_own_prometheus_asks_under_the_same_names(
    objects: list[Object], rendered: Rendered
) -> None:
    spec = one(objects, "PodMonitor")
    listening = selected(spec["selector"], rendered["kind"])
    asked = set()
    for endpoint in spec["podMetricsEndpoints"]:
        asked |= {(name, known[endpoint["port"]]) for name, known in listening.items()}
        assert endpoint["honorLabels"] is True
        job, server = endpoint["relabelings"]
        assert job == {"targetLabel": "job", "replacement": "toolwear"}
        label = APP.replace(".", "_").replace("/", "_")
        assert server == {
            "sourceLabels": [f"__meta_kubernetes_pod_label_{label}"],
            "targetLabel": "server",
        }
    ours = {
        (host.removesuffix("-metrics"), port) for job, host, port in targets() if job == "toolwear"
    }
    assert asked == ours
    interval = yaml.safe_load(SCRAPE.read_text())["global"]["scrape_interval"]
    assert {endpoint["interval"] for endpoint in spec["podMetricsEndpoints"]} == {interval}


def test_it_is_let_in_at_these_ports_only(objects: list[Object], rendered: Rendered) -> None:
    policy, monitor = one(objects, "NetworkPolicy"), one(objects, "PodMonitor")
    assert policy["podSelector"] == monitor["selector"]
    selected(policy["podSelector"], rendered["kind"])
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    assert set(peer) == {"namespaceSelector", "podSelector"}
    assert [port["port"] for port in rule["ports"]] == [
        endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]
    ]


def test_the_resources_are_what_kubernetes_and_the_operator_take(objects: list[Object]) -> None:
    kinds = {item["kind"]: item for item in [*objects, prometheus_rule()]}
    assert set(kinds) == {"PodMonitor", "NetworkPolicy", "PrometheusRule"}
    assert faults(kinds["NetworkPolicy"]) == []
    if not CRDS:
        pytest.skip("TOOLWEAR_CRDS is not set: give a folder with those of the Prometheus Operator")
    assert faults(kinds["PodMonitor"]) + faults(kinds["PrometheusRule"]) == []
    kinds["PodMonitor"]["spec"]["podMetricsEndpoints"][0]["portNumbr"] = 1
    kinds["PrometheusRule"]["spec"]["groups"][0]["rules"][0]["exprs"] = "up"
    assert "portNumbr" in " ".join(faults(kinds["PodMonitor"]))
    assert "exprs" in " ".join(faults(kinds["PrometheusRule"]))


def test_the_rules_that_are_printed_are_those_of_the_files(tmp_path: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.operator_rules"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = yaml.safe_load(done.stdout)
    names = [group["name"] for group in printed["spec"]["groups"]]
    assert len(names) == len(set(names)) >= len(list(RULES.iterdir()))
    assert RULES == MONITORING / "rules"
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(printed["spec"]))
    checked = subprocess.run(
        [program("promtool"), "check", "rules", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
