"""Print the alert rules for the Prometheus Operator: `python -m tools.operator_rules`.

They are those of `monitoring/rules`, as one PrometheusRule for `kubectl apply --filename -`.
"""

from __future__ import annotations

import sys
from typing import Any

import yaml

from tools.rendered import ROOT
from tools.secrets import NAMESPACE

RULES = ROOT / "monitoring" / "rules"


def groups() -> list[dict[str, Any]]:
    """Return the groups of rules of all files."""
    return [
        group
        for path in sorted(RULES.glob("*.yaml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]


def prometheus_rule() -> dict[str, Any]:
    """Return the resource."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "toolwear",
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/part-of": "toolwear"},
        },
        "spec": {"groups": groups()},
    }


if __name__ == "__main__":
    yaml.safe_dump(prometheus_rule(), sys.stdout, sort_keys=False)
