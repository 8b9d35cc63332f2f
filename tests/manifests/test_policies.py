"""Every overlay keeps to every policy, and every policy finds a fault that is put in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import pytest

from tests.manifests.policies import POLICIES
from tools.rendered import OVERLAYS, Object, of_kind

Rendered = dict[str, list[Object]]


def one(objects: Sequence[Object], kind: str, name: str) -> Object:
    return next(item for item in of_kind(objects, kind) if item["metadata"]["name"] == name)


def pod(objects: Sequence[Object]) -> Object:
    found: Object = one(objects, "Deployment", "mlflow")["spec"]["template"]["spec"]
    return found


def container(objects: Sequence[Object]) -> Object:
    found: Object = pod(objects)["containers"][0]
    return found


def floating(objects: list[Object]) -> None:
    container(objects)["image"] = "toolwear/pipeline:latest"


def version_only(objects: list[Object]) -> None:
    redis = one(objects, "StatefulSet", "redis")["spec"]["template"]["spec"]["containers"][0]
    redis["image"] = redis["image"].partition("@")[0]


def no_limit(objects: list[Object]) -> None:
    del container(objects)["resources"]["limits"]["memory"]


def no_probe(objects: list[Object]) -> None:
    del container(objects)["livenessProbe"]


def writable(objects: list[Object]) -> None:
    container(objects)["securityContext"]["readOnlyRootFilesystem"] = False


def transformer_as_root(objects: list[Object]) -> None:
    service = one(objects, "InferenceService", "toolwear-blue")
    service["spec"]["transformer"]["securityContext"]["runAsUser"] = 0


def model_server_as_root(objects: list[Object]) -> None:
    runtime = one(objects, "ServingRuntime", "toolwear-onnx")
    runtime["spec"]["containers"][0]["securityContext"]["runAsUser"] = 0


def open_namespace(objects: list[Object]) -> None:
    objects.remove(one(objects, "NetworkPolicy", "default-deny"))


def baseline(objects: list[Object]) -> None:
    labels = one(objects, "Namespace", "toolwear")["metadata"]["labels"]
    labels["pod-security.kubernetes.io/enforce"] = "baseline"


def all_rights(objects: list[Object]) -> None:
    rule = {"apiGroups": ["*"], "resources": ["secrets"], "verbs": ["get"]}
    objects.append({"kind": "Role", "metadata": {"name": "all"}, "rules": [rule]})


def token_without_role(objects: list[Object]) -> None:
    objects.remove(one(objects, "RoleBinding", "toolwear-deployer"))


def role_without_token(objects: list[Object]) -> None:
    spec = one(objects, "Deployment", "trigger")["spec"]["template"]["spec"]
    spec["serviceAccountName"] = "default"


def no_settings(objects: list[Object]) -> None:
    for settings in of_kind(objects, "ConfigMap"):
        settings["metadata"]["name"] += "-elsewhere"


def no_volume(objects: list[Object]) -> None:
    pod(objects)["volumes"] = []


def own_port_of_an_explainer(objects: list[Object]) -> None:
    service = one(objects, "InferenceService", "toolwear-blue")["spec"]["explainer"]
    (explainer,) = service["containers"]
    explainer["args"] += ["--http_port", "8083"]
    explainer["ports"][0]["containerPort"] = 8083


def probe_of_another_port(objects: list[Object]) -> None:
    runtime = one(objects, "ServingRuntime", "toolwear-onnx")["spec"]["containers"][0]
    runtime["livenessProbe"]["httpGet"]["port"] = 8081


def wrong_port(objects: list[Object]) -> None:
    one(objects, "Service", "mlflow")["spec"]["ports"][0]["targetPort"] = 5001


def wrong_weights(objects: list[Object]) -> None:
    one(objects, "HTTPRoute", "toolwear")["spec"]["rules"][0]["backendRefs"][0]["weight"] = 99


def unknown_backend(objects: list[Object]) -> None:
    objects.remove(one(objects, "InferenceService", "toolwear-green"))


def nothing_protected(objects: list[Object]) -> None:
    budget = one(objects, "PodDisruptionBudget", "predictor")
    budget["spec"]["selector"]["matchLabels"] = {"app.kubernetes.io/name": "predicter"}


def unknown_peer(objects: list[Object]) -> None:
    policy = one(objects, "NetworkPolicy", "mlflow")
    peer = policy["spec"]["egress"][0]["to"][0]["podSelector"]
    peer["matchLabels"] = {"app.kubernetes.io/name": "postgers"}


# Two ways to break a policy where it speaks of two things.
FAULTS: list[tuple[str, Callable[[list[Object]], None]]] = [
    ("images", floating),
    ("images", version_only),
    ("resources", no_limit),
    ("probes", no_probe),
    ("security", writable),
    ("security", transformer_as_root),
    ("security", model_server_as_root),
    ("default_deny", open_namespace),
    ("restricted_namespaces", baseline),
    ("rights", all_rights),
    ("tokens", token_without_role),
    ("tokens", role_without_token),
    ("references", no_settings),
    ("mounts", no_volume),
    ("ports", own_port_of_an_explainer),
    ("ports", probe_of_another_port),
    ("services", wrong_port),
    ("routes", wrong_weights),
    ("routes", unknown_backend),
    ("scaling", nothing_protected),
    ("policies_have_pods", unknown_peer),
]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("policy", POLICIES)
def test_overlays_keep_to_the_policies(rendered: Rendered, overlay: str, policy: str) -> None:
    assert POLICIES[policy](rendered[overlay]) == []


@pytest.mark.parametrize(("policy", "fault"), FAULTS)
def test_a_fault_is_found(
    rendered: Rendered, policy: str, fault: Callable[[list[Object]], None]
) -> None:
    objects = copy.deepcopy(rendered["kind"])
    fault(objects)
    assert POLICIES[policy](objects)


def test_every_policy_has_a_fault() -> None:
    assert {policy for policy, _ in FAULTS} == set(POLICIES)
