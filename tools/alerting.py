"""The configurations of Prometheus and Alertmanager for one machine, made from the cluster's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tools.operator_rules import RULES
from tools.rendered import ROOT
from toolwear.common import ports

CLUSTER = ROOT / "monitoring" / "alertmanager.yaml"
PROMETHEUS = ROOT / "monitoring" / "prometheus.yaml"


def local(token_file: Path, trigger: str) -> dict[str, Any]:
    """Return the configuration that tells the trigger at this address, with the token of a file."""
    config: dict[str, Any] = yaml.safe_load(CLUSTER.read_text(encoding="utf-8"))
    hooks = [
        hook for receiver in config["receivers"] for hook in receiver.get("webhook_configs", [])
    ]
    for hook in hooks:
        hook["url"] = f"{trigger}/alerts"
        hook["http_config"]["authorization"]["credentials_file"] = str(token_file)
    return config


def scraping(host: str, port: int, alertmanager: int) -> dict[str, Any]:
    """Return the configuration that asks the servers of `toolwear serve --port`.

    Args:
        host: of all of them.
        port: of the transformer; the others have the ports behind it.
        alertmanager: port of Alertmanager.
    """
    config: dict[str, Any] = yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))
    config["rule_files"] = [str(RULES / "*.yaml")]
    (manager,) = config["alerting"]["alertmanagers"][0]["static_configs"]
    manager["targets"] = [f"{host}:{alertmanager}"]
    (job,) = config["scrape_configs"]
    for target in job["static_configs"]:
        own = getattr(ports, target["labels"]["server"].upper())
        target["targets"] = [f"{host}:{own - ports.TRANSFORMER + port}"]
    return config
