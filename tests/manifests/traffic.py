"""What an address means in a cluster, and whether the network policies let a pod get there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.manifests.listening import named_ports
from tests.manifests.policies import selects
from tools.rendered import Object, Workload, named, of_kind, workloads
from tools.secrets import SECRETS

NAMESPACE = "kubernetes.io/metadata.name"  # label that every namespace has
LOOPBACK = ("127.0.0.1", "localhost")
_HTTP = 80


@dataclass(frozen=True)
class Pods:
    """Pods of one kind: where they are, their labels, their ports by name."""

    namespace: str
    labels: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)


# Services of Kubeflow Pipelines' own manifests that our pods ask: the pods behind, and their port.
FOREIGN = {
    ("kubeflow", "seaweedfs", 9000): (Pods("kubeflow", {"app": "seaweedfs"}), 8333),
    ("kubeflow", "ml-pipeline", 8888): (Pods("kubeflow", {"app": "ml-pipeline"}), 8888),
}


def pods_of(objects: Sequence[Object]) -> list[Pods]:
    """Return the pods of all workloads."""
    return [Pods(one.namespace, one.labels, named_ports(one)) for one in workloads(objects)]


def behind(objects: Sequence[Object], address: str, client: Pods) -> list[tuple[Pods, int]]:
    """Return the pods that answer at an address, and at which of their ports.

    Raises:
        AssertionError: it is nobody's address.
    """
    parts = urlsplit(address if "://" in address else f"//{address}")
    assert parts.hostname, address
    port = parts.port or _HTTP
    name, namespace, *_ = [*parts.hostname.split("."), client.namespace]
    if (namespace, name, port) in FOREIGN:
        return [FOREIGN[namespace, name, port]]
    found = list(_by_service(objects, namespace, name, port))
    found += _by_kserve(objects, namespace, name, port)
    assert found, f"{address} is nobody's address"
    return found


def _by_service(
    objects: Sequence[Object], namespace: str, name: str, port: int
) -> Iterator[tuple[Pods, int]]:
    for service in of_kind(objects, "Service"):
        metadata, spec = service["metadata"], service["spec"]
        if (metadata["namespace"], metadata["name"]) != (namespace, name):
            continue
        (target,) = (one["targetPort"] for one in spec["ports"] if one["port"] == port)
        for pods in pods_of(objects):
            if pods.namespace == namespace and selects(spec["selector"], pods.labels):
                yield pods, pods.ports.get(target, target)


def _by_kserve(
    objects: Sequence[Object], namespace: str, name: str, port: int
) -> Iterator[tuple[Pods, int]]:
    """KServe's Service has port 80 for the first port of the container, the others as they are."""
    for one in workloads(objects):
        service = one.name.partition("/")[2].replace(" ", "-")
        if "InferenceService" in one.name and (one.namespace, service) == (namespace, name):
            first, *others = [item["containerPort"] for item in one.containers[0]["ports"]]
            ports = {_HTTP: first} | {item: item for item in others}
            yield Pods(one.namespace, one.labels, named_ports(one)), ports[port]


def refusals(objects: Sequence[Object], client: Pods, address: str) -> list[str]:
    """Return what keeps a pod from an address, a sentence each; empty if it gets there."""
    if urlsplit(address if "://" in address else f"//{address}").hostname in LOOPBACK:
        return []
    found = []
    for server, port in behind(objects, address, client):
        if not _lets(objects, client, server, port, "Egress"):
            found.append(f"{client.labels} may not ask {address}: no policy lets it out")
        if not _lets(objects, server, client, port, "Ingress"):
            found.append(f"{client.labels} may not ask {address}: {server.labels} let it not in")
    return found


def _lets(objects: Sequence[Object], own: Pods, peer: Pods, port: int, way: str) -> bool:
    """Tell whether a policy of pods allows traffic with a peer; `port` is the server's."""
    rules, peers = ("egress", "to") if way == "Egress" else ("ingress", "from")
    server = peer if way == "Egress" else own
    denied = False
    for policy in of_kind(objects, "NetworkPolicy"):
        spec = policy["spec"]
        if policy["metadata"]["namespace"] != own.namespace or way not in spec["policyTypes"]:
            continue
        if not selected(spec["podSelector"], own.labels):
            continue
        denied = True
        for rule in spec.get(rules, []):
            of_ports = [item["port"] for item in rule.get("ports", [])]
            numbers = {server.ports.get(item, item) for item in of_ports}
            if of_ports and port not in numbers:
                continue
            if peers not in rule or any(means(one, peer, own.namespace) for one in rule[peers]):
                return True
    return not denied


def means(entry: Mapping[str, Any], peer: Pods, namespace: str) -> bool:
    """Tell whether an entry of a policy in `namespace` means a pod."""
    if "ipBlock" in entry:  # whether it means pods depends on the network
        return False
    if "namespaceSelector" in entry:
        if not selected(entry["namespaceSelector"], {NAMESPACE: peer.namespace}):
            return False
    elif peer.namespace != namespace:
        return False
    return selected(entry.get("podSelector", {}), peer.labels)


def selected(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a selector, expressions included, means pods of these labels."""
    for one in selector.get("matchExpressions", []):
        key, operator = one["key"], one["operator"]
        assert operator in ("In", "Exists"), operator
        if key not in labels or (operator == "In" and labels[key] not in one["values"]):
            return False
    return selects(selector.get("matchLabels", {}), labels)


def reaches_outside(objects: Sequence[Object], client: Pods, port: int) -> bool:
    """Tell whether a pod gets to a port of any address: the Kubernetes API, HTTPS."""
    return any(
        {"ipBlock": {"cidr": "0.0.0.0/0"}} in rule["to"]
        and {"port": port} in rule.get("ports", [{"port": port}])
        for policy in of_kind(objects, "NetworkPolicy")
        if policy["metadata"]["namespace"] == client.namespace
        and selected(policy["spec"]["podSelector"], client.labels)
        for rule in policy["spec"].get("egress", [])
    )


def environment(objects: Sequence[Object], workload: Workload) -> dict[str, str]:
    """Return what a workload's containers have in their environment, secrets as we make them."""
    maps = {named(item): item.get("data", {}) for item in of_kind(objects, "ConfigMap")}
    hidden = {one.name: one.make("key", "secret") for one in SECRETS}
    values: dict[str, str] = {}
    for container in workload.containers:
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                values |= maps[f"ConfigMap {workload.namespace}/{source['configMapRef']['name']}"]
        for one in container.get("env", []):
            source = one.get("valueFrom", {})
            shared, reference = source.get("configMapKeyRef"), source.get("secretKeyRef", {})
            if "value" in one:
                values[one["name"]] = one["value"]
            elif shared:
                there = maps[f"ConfigMap {workload.namespace}/{shared['name']}"]
                values[one["name"]] = there[shared["key"]]
            elif reference.get("name") in hidden:
                values[one["name"]] = hidden[reference["name"]][reference["key"]]
    return values
