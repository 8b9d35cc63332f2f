"""Where servers listen: by their own options, as the cluster's controllers leave them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.rendered import Object, Workload, workloads

_SERVERS = "serving."
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def listening(container: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the ports, by name, that one of our servers opens; None for another's container."""
    words = [*container.get("command", []), *container.get("args", [])]
    if words[:2] != ["python", "-m"] or not words[2].startswith(_SERVERS):
        return None
    module = importlib.import_module(f"{words[2]}.__main__")
    options = module.command_line().parse_args(words[3:])
    grpc = getattr(options, "grpc_port", None)
    return {"http": options.http_port} | ({"grpc": grpc} if grpc is not None else {})


def named_ports(workload: Workload) -> dict[str, int]:
    """Return the ports of a pod by their names."""
    return {
        port["name"]: port["containerPort"]
        for container in workload.containers
        for port in container.get("ports", [])
    }


def ports(objects: Sequence[Object]) -> list[str]:
    """Each server of ours listens at the ports of its container, and is probed at one of them."""
    return list(_faults(objects))


def _faults(objects: Sequence[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        known = named_ports(workload)
        for container in workload.containers:
            opened = listening(container)
            said = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            if opened is not None and opened != said:
                yield f"{workload.name} listens at {opened}, and its container says {said}"
            for probe in _PROBES:
                asked = container.get(probe, {}).get("httpGet", {}).get("port")
                if asked is not None and asked not in {*known, *known.values()}:
                    yield f"{workload.name}: the {probe} asks {asked}, where nobody listens"
