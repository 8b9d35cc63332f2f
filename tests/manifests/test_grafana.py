"""Grafana on the cluster finds its data source and every dashboard, and asks nobody else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tools.dashboards.every import FOLDER
from tools.dashboards.panels import SOURCE
from tools.rendered import OVERLAYS, Object, of_kind, workloads

Rendered = dict[str, list[Object]]
VARIABLE = "TOOLWEAR_DASHBOARDS"


def grafana(objects: list[Object]) -> tuple[Any, dict[str, dict[str, str]]]:
    """Return Grafana's container, and what is in the folders that are mounted into it."""
    (workload,) = (item for item in workloads(objects) if item.name.endswith("/grafana"))
    maps = {item["metadata"]["name"]: item["data"] for item in of_kind(objects, "ConfigMap")}
    volumes = {
        volume["name"]: maps[volume["configMap"]["name"]]
        for volume in workload.pod["volumes"]
        if "configMap" in volume
    }
    (container,) = workload.containers
    mounted = {
        mount["mountPath"]: volumes[mount["name"]]
        for mount in container["volumeMounts"]
        if mount["name"] in volumes
    }
    return container, mounted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_is_given_the_data_source_and_every_dashboard(rendered: Rendered, overlay: str) -> None:
    container, mounted = grafana(rendered[overlay])
    given = {item["name"]: item.get("value") for item in container["env"]}
    files = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert len(files) == 5
    assert mounted[given[VARIABLE]] == files
    home = given["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].rpartition("/")
    assert home[0] == given[VARIABLE]
    assert home[2] in files
    (source,) = mounted["/etc/grafana/provisioning/datasources"].values()
    (told,) = yaml.safe_load(source)["datasources"]
    assert (told["uid"], told["type"]) == (SOURCE.uid, SOURCE.type_val)
    assert told["url"].removeprefix("$") in given
    (provider,) = mounted["/etc/grafana/provisioning/dashboards"].values()
    (told,) = yaml.safe_load(provider)["providers"]
    assert told["options"]["path"] == f"${VARIABLE}"
    assert told["allowUiUpdates"] is False


def test_its_rates_take_four_scrapes_of_the_clusters_prometheus(rendered: Rendered) -> None:
    _, mounted = grafana(rendered["kind"])
    (source,) = mounted["/etc/grafana/provisioning/datasources"].values()
    config = next(
        yaml.safe_load(item["data"]["prometheus.yaml"])
        for item in of_kind(rendered["kind"], "ConfigMap")
        if "prometheus.yaml" in item["data"] and "scrape_configs" in item["data"]["prometheus.yaml"]
    )
    (told,) = yaml.safe_load(source)["datasources"]
    assert told["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


def test_it_talks_to_prometheus_only_and_nobody_talks_to_it(rendered: Rendered) -> None:
    (policy,) = (
        item["spec"]
        for item in of_kind(rendered["kind"], "NetworkPolicy")
        if item["metadata"]["name"] == "grafana"
    )
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    (rule,) = policy["egress"]
    (peer,) = rule["to"]
    assert peer == {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}
    assert rule["ports"] == [{"port": 9090}]
