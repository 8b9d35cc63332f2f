"""What every rendered object has to keep to. Each policy returns its violations as sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from pipelines.settings import EVERY, STEP_LABEL
from tests.manifests.listening import named_ports, ports
from tools.release import DIGEST, OURS
from tools.rendered import ROOT, Object, Workload, named, of_kind, workloads

Policy = Callable[[Sequence[Object]], list[str]]
_RESTRICTED = {"emptyDir", "configMap", "secret", "persistentVolumeClaim", "projected"}
_VERSION = re.compile(r"v?\d+\.\d+(\.\d+)?([.-][\w.]+)?|dev|[0-9a-f]{40}")
# Pods of other people's controllers that our policies speak of; the pipeline's tasks too.
FOREIGN = {"app": {"seaweedfs", "ml-pipeline", "cache-server"}, STEP_LABEL: set(EVERY)}


def pinned_images() -> dict[str, str]:
    """Return the images of the one file that pins them, with the tag and digest of each."""
    pins = yaml.safe_load((ROOT / "images" / "kustomization.yaml").read_text())["images"]
    return {
        pin.get("newName", pin["name"]): (f":{pin['newTag']}" if "newTag" in pin else "")
        + (f"@{pin['digest']}" if "digest" in pin else "")
        for pin in pins
    }


def images(objects: Sequence[Object]) -> list[str]:
    """Each image is one that we build or pin; no tag floats, and others' have a digest."""
    pins = pinned_images()
    allowed = {f"{name}{pin}" for name, pin in pins.items()}
    found = []
    for workload, container in _containers(objects):
        image = container["image"]
        if image not in allowed:
            found.append(f"{workload.name}: {image} is not in tools/images")
        tag = image.rpartition(":")[2]
        if not (DIGEST.fullmatch(image) or _VERSION.fullmatch(tag)):
            found.append(f"{workload.name}: {image} has a tag that floats")
        if not image.startswith(OURS) and not DIGEST.fullmatch(image):
            found.append(f"{workload.name}: {image} has no digest")
    return found


def resources(objects: Sequence[Object]) -> list[str]:
    """Each container requests CPU and memory, and has limits of both."""
    return [
        f"{workload.name}: {container['name']} has no {part} of {what}"
        for workload, container in _containers(objects)
        for part in ("requests", "limits")
        for what in ("cpu", "memory")
        if what not in container.get("resources", {}).get(part, {})
    ]


def probes(objects: Sequence[Object]) -> list[str]:
    """What serves says when it is ready and whether it lives; what takes long, when it is up."""
    return [
        f"{workload.name}: {container['name']} has no {probe}"
        for workload, container in _containers(objects)
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        if workload.serves and probe not in container
    ]


def security(objects: Sequence[Object]) -> list[str]:
    """Pod Security `restricted`, a read-only root, a numeric user that is not root, no token."""
    found = []
    for workload in workloads(objects):
        pod = workload.pod.get("securityContext", {})
        if pod.get("runAsNonRoot") is not True or not pod.get("runAsUser"):
            found.append(f"{workload.name}: the pod may run as root")
        if pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
            found.append(f"{workload.name}: the pod has no seccomp profile")
        if workload.pod.get("automountServiceAccountToken") is not False:
            found.append(f"{workload.name}: the pod gets a token of the Kubernetes API")
        found += [
            f"{workload.name}: {field} is set"
            for field in ("hostNetwork", "hostPID", "hostIPC")
            if workload.pod.get(field)
        ]
        found += [
            f"{workload.name}: the volume {volume['name']} is of a kind that is not restricted"
            for volume in workload.pod.get("volumes", [])
            if not _RESTRICTED & set(volume)
        ]
        for container in workload.containers:
            found += _container_security(workload, container)
    return found


def _container_security(workload: Workload, container: Mapping[str, Any]) -> Iterator[str]:
    expected = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    own = container.get("securityContext", {})
    for field, value in expected.items():
        if own.get(field) != value:
            yield f"{workload.name}: {container['name']} has not {field}: {value}"
    if own.get("privileged") or own.get("runAsUser") == 0:
        yield f"{workload.name}: {container['name']} is privileged"


def default_deny(objects: Sequence[Object]) -> list[str]:
    """Each namespace with pods or policies denies all traffic but what another policy allows."""
    used = {workload.namespace for workload in workloads(objects)}
    used |= {item["metadata"]["namespace"] for item in of_kind(objects, "NetworkPolicy")}
    used |= {item["metadata"]["name"] for item in of_kind(objects, "Namespace")}
    denied = {
        item["metadata"]["namespace"]
        for item in of_kind(objects, "NetworkPolicy")
        if item["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    }
    return [f"the namespace {namespace} is not default-deny" for namespace in sorted(used - denied)]


def restricted_namespaces(objects: Sequence[Object]) -> list[str]:
    """Each namespace that we make enforces Pod Security `restricted`."""
    label = "pod-security.kubernetes.io/enforce"
    return [
        f"{named(item)} does not enforce restricted"
        for item in of_kind(objects, "Namespace")
        if item["metadata"].get("labels", {}).get(label) != "restricted"
    ]


def rights(objects: Sequence[Object]) -> list[str]:
    """No role has a wildcard, reads secrets or holds in the whole cluster."""
    found = [f"{named(item)} holds everywhere" for item in of_kind(objects, "ClusterRole")]
    for role in of_kind(objects, "Role", "ClusterRole"):
        for rule in role["rules"]:
            if "*" in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]:
                found.append(f"{named(role)} has a wildcard")
            if "secrets" in rule["resources"]:
                found.append(f"{named(role)} reads secrets")
    return found


def tokens(objects: Sequence[Object]) -> list[str]:
    """A pod asks for a token of the Kubernetes API by its own account, which has a role."""
    bound = {
        (subject["namespace"], subject["name"])
        for binding in of_kind(objects, "RoleBinding")
        for subject in binding["subjects"]
        if subject["kind"] == "ServiceAccount"
    }
    made = {
        (item["metadata"]["namespace"], item["metadata"]["name"])
        for item in of_kind(objects, "ServiceAccount")
    }
    found, asking = [], set()
    for workload in workloads(objects):
        account = (workload.namespace, workload.pod.get("serviceAccountName", "default"))
        if any("serviceAccountToken" in source for source in _projected(workload)):
            asking.add(account)
            if account not in bound:
                found.append(f"{workload.name} has a token of {account[1]}, which has no role")
    # Accounts of others, such as the one of Kubeflow Pipelines' tasks, are not made here.
    return found + [
        f"{account[1]} has a role, and no pod of it has a token"
        for account in sorted((bound & made) - asking)
    ]


def _projected(workload: Workload) -> Iterator[Mapping[str, Any]]:
    for volume in workload.pod.get("volumes", []):
        yield from volume.get("projected", {}).get("sources", [])


def references(objects: Sequence[Object]) -> list[str]:
    """Each ConfigMap, claim and service account that a pod names is there."""
    there = {(x["kind"], x["metadata"].get("namespace"), x["metadata"]["name"]) for x in objects}
    found = []
    for workload in workloads(objects):
        for kind, name in sorted(set(_named_by(workload))):
            if (kind, workload.namespace, name) not in there:
                found.append(f"{workload.name} names the {kind} {name}, which is not there")
    return found


def _named_by(workload: Workload) -> Iterator[tuple[str, str]]:
    account = workload.pod.get("serviceAccountName")
    if account:
        yield "ServiceAccount", account
    yield from _mounted_by(workload)
    for container in workload.containers:
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                yield "ConfigMap", source["configMapRef"]["name"]
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("configMapKeyRef")
            if reference:
                yield "ConfigMap", reference["name"]


def _mounted_by(workload: Workload) -> Iterator[tuple[str, str]]:
    for volume in workload.pod.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for source in _projected(workload):
        # Kubernetes itself puts the authority of its API into each namespace.
        if "configMap" in source and source["configMap"]["name"] != "kube-root-ca.crt":
            yield "ConfigMap", source["configMap"]["name"]


def mounts(objects: Sequence[Object]) -> list[str]:
    """Each mount has its volume, each volume its mount."""
    found = []
    for workload in workloads(objects):
        volumes = {volume["name"] for volume in workload.pod.get("volumes", [])}
        mounted = {
            mount["name"]
            for container in workload.containers
            for mount in container.get("volumeMounts", [])
        }
        # A StatefulSet's claims are volumes too.
        volumes |= {
            claim["metadata"]["name"]
            for item in of_kind(objects, "StatefulSet")
            if named(item) == workload.name
            for claim in item["spec"].get("volumeClaimTemplates", [])
        }
        found += [
            f"{workload.name}: the volume {x} is mounted, but not there" for x in mounted - volumes
        ]
        found += [f"{workload.name}: the volume {x} is not mounted" for x in volumes - mounted]
    return found


def services(objects: Sequence[Object]) -> list[str]:
    """Each Service leads to pods that listen on its port."""
    found = []
    for service in of_kind(objects, "Service"):
        behind = [
            workload
            for workload in workloads(objects)
            if workload.namespace == service["metadata"]["namespace"]
            and selects(service["spec"]["selector"], workload.labels)
        ]
        if not behind:
            found.append(f"{named(service)} leads to no pods")
        for workload in behind:
            known = named_ports(workload)
            found += [
                f"{named(service)}: {workload.name} does not listen on {port['targetPort']}"
                for port in service["spec"]["ports"]
                if port["targetPort"] not in {*known, *known.values()}
            ]
    return found


def routes(objects: Sequence[Object]) -> list[str]:
    """Each backend of a route is a Service that KServe makes, and the weights make 100."""
    made = {
        f"{item['metadata']['name']}-{component}"
        for item in of_kind(objects, "InferenceService")
        for component in ("predictor", "transformer", "explainer")
        if component in item["spec"]
    }
    found = []
    for route in of_kind(objects, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            backends = rule["backendRefs"]
            found += [
                f"{named(route)} leads to {backend['name']}:{backend['port']}, which nobody makes"
                for backend in backends
                if backend["name"] not in made or backend["port"] != 80
            ]
            if sum(backend["weight"] for backend in backends) != 100:
                found.append(f"{named(route)}: the weights do not make 100")
    return found


def scaling(objects: Sequence[Object]) -> list[str]:
    """Each disruption budget and autoscaler has pods to look after."""
    found = []
    for budget in of_kind(objects, "PodDisruptionBudget"):
        selector = budget["spec"]["selector"]["matchLabels"]
        if not any(selects(selector, workload.labels) for workload in workloads(objects)):
            found.append(f"{named(budget)} protects no pods")
    there = {(item["kind"], item["metadata"]["name"]) for item in objects}
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in there:
            found.append(f"{named(scaler)} scales {target['name']}, which is not there")
    return found


def policies_have_pods(objects: Sequence[Object]) -> list[str]:
    """Each network policy, and each peer that it names, means pods that are there."""
    there = [workload.labels for workload in workloads(objects)]

    def known(selector: Mapping[str, str]) -> bool:
        foreign = all(value in FOREIGN.get(key, ()) for key, value in selector.items())
        return not selector or foreign or any(selects(selector, labels) for labels in there)

    found = []
    for policy in of_kind(objects, "NetworkPolicy"):
        spec = policy["spec"]
        selectors = [spec["podSelector"]]
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            peers = [*rule.get("from", []), *rule.get("to", [])]
            selectors += [
                peer["podSelector"]
                for peer in peers
                if "podSelector" in peer and not _kube_system(peer)
            ]
        found += [
            f"{named(policy)} speaks of pods {selector['matchLabels']}, which nobody makes"
            for selector in selectors
            if not known(selector.get("matchLabels", {}))
        ]
    return found


def _kube_system(peer: Mapping[str, Any]) -> bool:
    labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
    return "kube-system" in labels.values()


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether a selector means pods of these labels."""
    return all(labels.get(key) == value for key, value in selector.items())


def _containers(objects: Sequence[Object]) -> Iterator[tuple[Workload, Mapping[str, Any]]]:
    for workload in workloads(objects):
        for container in workload.containers:
            yield workload, container


POLICIES: dict[str, Policy] = {
    policy.__name__: policy
    for policy in (
        images,
        resources,
        probes,
        security,
        default_deny,
        restricted_namespaces,
        rights,
        tokens,
        references,
        mounts,
        ports,
        services,
        routes,
        scaling,
        policies_have_pods,
    )
}
