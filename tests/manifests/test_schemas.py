"""Every rendered object has only fields that Kubernetes or its definition knows, of their types."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.manifests.schemas import CRDS, faults
from tools.rendered import OVERLAYS, Object

Rendered = dict[str, list[Object]]
BUILT_IN = {"Deployment", "StatefulSet", "CronJob", "NetworkPolicy", "HorizontalPodAutoscaler"}
CUSTOM = {"InferenceService", "ServingRuntime", "HTTPRoute", "Gateway", "Certificate"}


def custom(item: Object) -> bool:
    return item["kind"] in CUSTOM | {"GatewayClass"}


@pytest.fixture
def definitions() -> None:
    if not CRDS:
        pytest.skip(
            "TOOLWEAR_CRDS is not set: give a folder with the CustomResourceDefinitions of KServe, "
            "the Gateway API and cert-manager, a folder for each"
        )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kinds_of_kubernetes(rendered: Rendered, overlay: str) -> None:
    objects = [item for item in rendered[overlay] if not custom(item)]
    assert {"Deployment", "StatefulSet", "NetworkPolicy"} <= {item["kind"] for item in objects}
    assert [fault for item in objects for fault in faults(item)] == []


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_custom_kinds(rendered: Rendered, overlay: str) -> None:
    objects = [item for item in rendered[overlay] if custom(item)]
    assert {"InferenceService", "ServingRuntime", "HTTPRoute"} <= {x["kind"] for x in objects}
    assert [fault for item in objects for fault in faults(item)] == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "told"),
    [
        ("Deployment", ("spec", "replica"), 1, "no field replica"),
        ("Deployment", ("spec", "replicas"), "two", "is no int"),
        (
            "Deployment",
            ("spec", "template", "spec", "containers", 0, "probe"),
            {},
            "no field probe",
        ),
        ("StatefulSet", ("spec", "serviceName"), 3, "is no str"),
        ("CronJob", ("spec", "schedule"), None, "there is nothing"),
        ("NetworkPolicy", ("spec", "ingres"), [], "no field ingres"),
        ("HorizontalPodAutoscaler", ("spec", "scaleTargetRef"), {}, "must not be"),
    ],
)
def test_faults_of_kubernetes_kinds_are_found(
    rendered: Rendered, kind: str, path: tuple[Any, ...], value: Any, told: str
) -> None:
    assert told in " ".join(faults(broken(rendered, kind, path, value)))


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize(
    ("kind", "path", "value", "told"),
    [
        ("InferenceService", ("spec", "predictor", "minReplica"), 1, "minReplica"),
        ("InferenceService", ("spec", "predictor", "minReplicas"), "1", "is not of type"),
        ("InferenceService", ("spec", "transformer", "containers", 0, "probe"), {}, "probe"),
        ("ServingRuntime", ("spec", "supportedModelFormats", 0, "nam"), "onnx", "nam"),
        ("HTTPRoute", ("spec", "rules", 0, "backendRefs", 0, "wait"), 1, "wait"),
        ("Gateway", ("spec", "listeners"), [], "[]"),
        ("Certificate", ("spec", "secret"), "x", "secret"),
    ],
)
def test_faults_of_custom_kinds_are_found(
    rendered: Rendered, kind: str, path: tuple[Any, ...], value: Any, told: str
) -> None:
    assert told in " ".join(faults(broken(rendered, kind, path, value)))


def test_a_kind_that_nobody_defines_is_a_fault(rendered: Rendered) -> None:
    item = copy.deepcopy(rendered["kind"][0])
    item |= {"apiVersion": "example.com/v1", "kind": "Unknown"}
    assert "neither known" in " ".join(faults(item))


def broken(rendered: Rendered, kind: str, path: tuple[Any, ...], value: Any) -> Object:
    found = next(item for item in rendered["production"] if item["kind"] == kind)
    item = copy.deepcopy(found)
    where: Any = item
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value
    return item
