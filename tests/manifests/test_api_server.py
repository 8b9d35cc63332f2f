"""What a real API server says of our manifests: fields, Pod Security, quotas, rights."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_server import ApiServer, installed, namespaces_first
from tools.rendered import OVERLAYS, Object, Workload, render, workloads
from toolwear.common.errors import ToolwearError

Rendered = dict[str, list[Object]]
HERE, KFP = "toolwear", "kubeflow"
PODS = f"/api/v1/namespaces/{HERE}/pods"
# Of a component of an InferenceService; what else a pod has is the pod's own.
KSERVES = {"deploymentStrategy", "labels", "maxReplicas", "minReplicas", "model"}
KSERVES |= {"scaleMetric", "scaleTarget"}
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
# All that accounts of ours may do, beyond what the API server lets everybody know of it.
DEPLOYS = {
    ("serving.kserve.io", "inferenceservices"): {"get", "create", "patch", "delete"},
    ("gateway.networking.k8s.io", "httproutes"): {"get", "create", "patch"},
    ("apps", "deployments"): {"get"},
    ("", "pods"): {"list"},
    ("", "pods/log"): {"get"},
}
MAY: dict[tuple[str, str], dict[tuple[str, str], set[str]]] = {
    (HERE, "toolwear-trigger"): DEPLOYS,
    (KFP, "pipeline-runner"): DEPLOYS,
    (HERE, "toolwear-serving"): {},
    (HERE, "default"): {},
}
OTHERS = [
    ("", "secrets"),
    ("", "configmaps"),
    ("", "serviceaccounts/token"),
    ("", "pods/exec"),
    ("", "persistentvolumeclaims"),
    ("apps", "statefulsets"),
    ("networking.k8s.io", "networkpolicies"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
]


@pytest.fixture(scope="module")
def server(api_server: ApiServer) -> ApiServer:
    installed(api_server, render("overlays/kind"))
    return api_server


@pytest.fixture
def pods(server: ApiServer) -> Iterator[ApiServer]:
    """A namespace without pods, whose quota knows it."""
    server.delete(PODS)
    server.nothing_used(HERE)
    yield server
    server.delete(PODS)


def pod(workload: Workload, name: str) -> Object:
    spec = {key: value for key, value in workload.pod.items() if key not in KSERVES}
    spec = copy.deepcopy(spec)
    there = {volume["name"] for volume in spec.get("volumes", [])}
    mounts = [mount for one in workload.containers for mount in one.get("volumeMounts", [])]
    # A StatefulSet's controller adds the volumes of its claims.
    claimed = sorted({mount["name"] for mount in mounts} - there)
    claims = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claimed]
    spec["volumes"] = [*spec.get("volumes", []), *claims]
    metadata = {"name": name, "namespace": HERE, "labels": dict(workload.labels)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_takes_every_object_and_warns_of_none(
    server: ApiServer, rendered: Rendered, overlay: str
) -> None:
    taken = [server.apply(item, dry_run=True) for item in namespaces_first(rendered[overlay])]
    assert len(taken) > 60


@pytest.mark.parametrize("folder", ["dask", "monitoring/operator"])
def test_it_takes_what_no_overlay_has(server: ApiServer, folder: str) -> None:
    assert [server.apply(item, dry_run=True)["kind"] for item in render(folder)]


@pytest.mark.parametrize(
    ("kind", "path", "value", "told"),
    [
        ("Deployment", ("spec", "replica"), 1, "replica"),
        ("InferenceService", ("spec", "predictor", "minReplica"), 1, "minReplica"),
        ("HTTPRoute", ("spec", "rules", 0, "backendRefs", 0, "weight"), -1, "weight"),
        ("Gateway", ("spec", "listeners"), [], "listeners"),
        ("NetworkPolicy", ("spec", "policyTypes"), ["Inwards"], "Inwards"),
    ],
)
def test_it_refuses_what_is_wrong(
    server: ApiServer, rendered: Rendered, kind: str, path: tuple[Any, ...], value: Any, told: str
) -> None:
    item = copy.deepcopy(next(item for item in rendered["production"] if item["kind"] == kind))
    item["metadata"]["name"] += "-other"
    where: Any = item
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value
    with pytest.raises(ToolwearError, match=told):
        server.apply(item, dry_run=True)


# --- Pod Security and quotas ---------------------------------------------------------------------


def test_pod_security_and_the_quota_let_every_pod_in_and_the_limit_sets_what_is_not_said(
    pods: ApiServer, rendered: Rendered
) -> None:
    """With both colours up and every replica, as while a new model is tried."""
    made = 0
    for workload in workloads(rendered["production"]):
        for _ in range(workload.replicas if workload.namespace == HERE else 0):
            made += 1
            pods.create(pod(workload, f"pod-{made}"))
    assert made > 20
    used = pods.get(pods.path("v1", "ResourceQuota", HERE, HERE))
    assert used is not None
    assert used["status"]["used"]["pods"] == str(made)
    bare = pod(next(workloads(rendered["kind"])), "bare")
    for container in bare["spec"]["containers"]:
        container.pop("resources")
    limited = pods.create(bare)["spec"]["containers"][0]["resources"]
    assert limited["limits"] == {"cpu": "500m", "memory": "256Mi"}


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("hostNetwork", True, "hostNetwork"),
        ("volumes", [{"name": "node", "hostPath": {"path": "/"}}], "hostPath"),
        ("securityContext", {"runAsUser": 0}, "runAsNonRoot"),
        ("root", {"allowPrivilegeEscalation": True}, "allowPrivilegeEscalation"),
    ],
)
def test_pod_security_keeps_others_out(
    pods: ApiServer, rendered: Rendered, field: str, value: Any, told: str
) -> None:
    item = pod(next(workloads(rendered["kind"])), "other")
    if field == "root":
        item["spec"]["containers"][0]["securityContext"] = value
    else:
        item["spec"][field] = value
        for container in [*item["spec"]["containers"], *item["spec"].get("initContainers", [])]:
            container.pop("volumeMounts", None)
    with pytest.raises(ToolwearError, match=f'violates PodSecurity "restricted.*{told}'):
        pods.create(item)


def test_more_than_the_namespace_may_take_is_refused(pods: ApiServer, rendered: Rendered) -> None:
    item = pod(next(workloads(rendered["kind"])), "large")
    large = {"cpu": "4", "memory": "6Gi"}
    item["spec"]["containers"][0]["resources"] = {"requests": large, "limits": large}
    pods.create(item)
    item["metadata"]["name"] = "larger"
    pods.create(item)
    item["metadata"]["name"] = "too-large"
    with pytest.raises(ToolwearError, match="exceeded quota: toolwear"):
        pods.create(item)
    item["spec"]["containers"][0]["resources"]["limits"] = {"cpu": "5", "memory": "6Gi"}
    with pytest.raises(ToolwearError, match="maximum cpu usage per Container is 4"):
        pods.create(item)


# --- rights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("namespace", "account"), MAY)
def test_an_account_may_do_this_and_nothing_else(
    server: ApiServer, namespace: str, account: str
) -> None:
    user = f"system:serviceaccount:{namespace}:{account}"
    expected = MAY[namespace, account]
    for group, resource in [*DEPLOYS, *OTHERS]:
        for where in (HERE, KFP, "default", ""):  # the last is all namespaces
            may = {
                verb for verb in VERBS if server.may(user, verb, group, resource, namespace=where)
            }
            assert may == (expected.get((group, resource), set()) if where == HERE else set()), (
                group,
                resource,
                where,
            )


def test_who_deploys_reads_one_config_map_by_its_name(server: ApiServer) -> None:
    user = f"system:serviceaccount:{HERE}:toolwear-trigger"
    for name, may in (("toolwear-models", True), ("toolwear-settings", False)):
        assert server.may(user, "get", "", "configmaps", namespace=HERE, name=name) is may


def test_the_token_of_an_account_opens_what_the_account_may(server: ApiServer) -> None:
    for account, status in (("toolwear-trigger", 200), ("toolwear-serving", 403)):
        headers = {"authorization": f"Bearer {server.token(HERE, account)}"}
        assert server.client.get(PODS, headers=headers).status_code == status
    assert server.client.get(PODS, headers={"authorization": "Bearer other"}).status_code == 401


def test_what_the_deployment_drops_goes_and_what_others_set_stays(
    server: ApiServer, rendered: Rendered
) -> None:
    """As server-side apply does it: the fields of each manager are its own."""
    route = next(item for item in rendered["kind"] if item["kind"] == "HTTPRoute")
    first = copy.deepcopy(route)
    first["metadata"] |= {"name": "owned", "annotations": {"ours": "1"}}
    server.apply(first, manager="toolwear-deploy")
    path = server.path(first["apiVersion"], "HTTPRoute", HERE, "owned")
    server.merge(path, {"metadata": {"annotations": {"theirs": "1"}}})
    del first["metadata"]["annotations"]
    after = server.apply(first, manager="toolwear-deploy")
    server.delete(path)
    assert after["metadata"]["annotations"] == {"theirs": "1"}
    assert json.dumps(after["spec"]["rules"]).count('"weight": 100') == 3
