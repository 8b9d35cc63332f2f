"""The configurations of Prometheus and Alertmanager for one machine, made from the cluster's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tools.operator_rules import RULES
from tools.rendered import ROOT
from toolwear.common import ports
from toolwear.common.errors import ToolwearError
from toolwear.common.files import read_regular

CLUSTER = ROOT / "monitoring" / "alertmanager.yaml"
PROMETHEUS = ROOT / "monitoring" / "prometheus.yaml"
_FLOOR_BYTES = 1 << 20


FLOOR = "floor"  # the receiver that is told of worn tools


def local(
    token_file: Path, trigger: str, floor: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Return the configuration for one machine.

    Args:
        token_file: with the trigger's token.
        trigger: its address.
        floor: how the floor is told, in Alertmanager's words: `email_configs` and so on.
    """
    config: dict[str, Any] = yaml.safe_load(CLUSTER.read_text(encoding="utf-8"))
    hooks = [
        hook for receiver in config["receivers"] for hook in receiver.get("webhook_configs", [])
    ]
    for hook in hooks:
        hook["url"] = f"{trigger}/alerts"
        hook["http_config"]["authorization"]["credentials_file"] = str(token_file)
    (receiver,) = [one for one in config["receivers"] if one["name"] == FLOOR]
    receiver |= floor
    return config


def floor_receiver(path: Path) -> dict[str, Any]:
    """Return how the floor is told, from a YAML file with Alertmanager's `email_configs` and so on.

    Raises:
        ToolwearError: there is no such file, or it holds something else.
    """
    try:
        found = yaml.safe_load(read_regular(path, _FLOOR_BYTES))
    except FileNotFoundError:
        raise ToolwearError(
            f"There is no file {path}; give the one that tells the floor."
        ) from None
    except yaml.YAMLError as error:
        raise ToolwearError(f"{path} is no YAML: {str(error).splitlines()[0]}.") from None
    if not isinstance(found, dict) or not all(str(key).endswith("_configs") for key in found):
        raise ToolwearError(
            f"{path} has to hold receivers as Alertmanager names them, such as email_configs and "
            "webhook_configs; docs/alerts.md has an example."
        )
    return found


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
