"""A real API server, and what stands in for the two that act on what it holds.

KServe's controller makes Deployments, here with pods as `tools.rendered` says that it makes
them; the kubelet starts pods. Both are done whenever the deployment looks, by `fate`.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.api_server import ApiServer
from tools.rendered import Object, Workload, workloads
from toolwear.release.blue_green.cluster import FIELD_MANAGER

UP, NEVER, CRASHES = "up", "never", "crashes"
NAMESPACE = "toolwear"
_SERVICES = f"/apis/serving.kserve.io/v1beta1/namespaces/{NAMESPACE}/inferenceservices"
_ROUTES = f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/httproutes"
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_TEMPLATES = f"/api/v1/namespaces/{NAMESPACE}/configmaps/toolwear-models"
_BINDING = (
    f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings/toolwear-deployer"
)
_LOG = re.compile(rf"{_PODS}/[a-z0-9-]+/log")
# Fields of an InferenceService's component that are KServe's own and not the pod's.
_KSERVES = {"deploymentStrategy", "labels", "maxReplicas", "minReplicas", "model", "scaleMetric"}
_KSERVES |= {"scaleTarget", "timeout"}
_SENT_ON = {"authorization", "content-length", "host", "connection", "accept-encoding"}


@dataclass
class Api:
    """What there is, and how new models fare.

    Attributes:
        server: the real one.
        token: of the account that deploys.
        runtimes: ServingRuntimes, whose containers KServe takes.
        fate: returns what becomes of the pods of (name, digest) when they are looked at.
        answer: an HTTP status with which every request is refused, if it returns one.
        applied: (plural, name, object) of every apply, in order.
        rolled: names of the InferenceServices whose pods were made or made anew, in order.
    """

    server: ApiServer
    token: str
    runtimes: Sequence[Object]
    fate: Callable[[str, str], str] = lambda name, digest: UP
    answer: Callable[[str], int | None] = lambda method: None
    applied: list[tuple[str, str, Object]] = field(default_factory=list)
    rolled: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    url: str = ""

    def apply(self, item: Object) -> Object:
        """Apply an object as the deployment does."""
        with self.lock:
            done = self.server.apply(item, manager=FIELD_MANAGER)
            self.note(done)
        return done

    def note(self, item: Object) -> None:
        """Remember what was applied, and let KServe act on it."""
        plural = "inferenceservices" if item["kind"] == "InferenceService" else "httproutes"
        name = item["metadata"]["name"]
        self.applied.append((plural, name, copy.deepcopy(item)))
        if plural == "inferenceservices" and self._deployments(item):
            self.rolled.append(name)

    def clear(self) -> None:
        """Leave nothing of a test before."""
        for path in (_SERVICES, _ROUTES, _DEPLOYMENTS, _PODS):
            self.server.delete(path)
        self.server.nothing_used(NAMESPACE)

    def templates(self, config_map: Object | None) -> None:
        """Make the manifests that wait for a model these, or take them away."""
        self.server.delete(_TEMPLATES)
        if config_map is not None:
            self.server.create(config_map)

    @contextmanager
    def unbound(self) -> Iterator[None]:
        """Take the deployer's role from its accounts."""
        binding = self.server.get(_BINDING)
        assert binding is not None
        self.server.delete(_BINDING)
        try:
            yield
        finally:
            del binding["metadata"]["resourceVersion"]
            self.server.create(binding)

    def service(self, colour: str) -> Object | None:
        return self.server.get(f"{_SERVICES}/toolwear-{colour}")

    def weights(self) -> dict[str, int]:
        """The weights of the route by colour, which every rule of it has."""
        route = self.server.get(f"{_ROUTES}/toolwear")
        assert route is not None
        first, *others = [
            {backend["name"].split("-")[1]: backend["weight"] for backend in rule["backendRefs"]}
            for rule in route["spec"]["rules"]
        ]
        assert all(other == first for other in others)
        return first

    def look(self) -> None:
        """Bring Deployments and pods to what becomes of them by now."""
        for item in self._items(_SERVICES):
            name = item["metadata"]["name"]
            fate = self.fate(name, _digest(item))
            for workload in self._workloads(item):
                self._settle(_part(workload), fate)
        there = {item["metadata"]["name"] for item in self._items(_SERVICES)}
        for path in (_DEPLOYMENTS, _PODS):  # those of a service that was deleted
            for item in self._items(path):
                if item["metadata"]["labels"]["serving.kserve.io/inferenceservice"] not in there:
                    self.server.delete(f"{path}/{item['metadata']['name']}")

    def _deployments(self, service: Object) -> bool:
        """Make the Deployments of an InferenceService; return whether pods are made anew."""
        changed = False
        for workload in self._workloads(service):
            name, labels, pod = _part(workload), _labels(service, workload), _pod(workload)
            before = self.server.get(f"{_DEPLOYMENTS}/{name}")
            # KServe copies labels and annotations of the service to its pods.
            annotations = service["metadata"].get("annotations", {})
            template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}
            spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
            made = self.server.apply(_named("apps/v1", "Deployment", name, labels) | {"spec": spec})
            generation = made["metadata"]["generation"]
            if before is None or before["metadata"]["generation"] != generation:
                self.server.delete(f"{_PODS}/{name}-1")
                self.server.nothing_used(NAMESPACE)
                self.server.create(_named("v1", "Pod", f"{name}-1", labels) | {"spec": pod})
                changed = True
        return changed

    def _workloads(self, service: Object) -> list[Workload]:
        return list(workloads([service, *self.runtimes]))

    def _settle(self, name: str, fate: str) -> None:
        deployment = self.server.get(f"{_DEPLOYMENTS}/{name}")
        assert deployment is not None
        counts = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": int(fate == UP)}
        counts |= {"readyReplicas": int(fate == UP)}
        counts["observedGeneration"] = deployment["metadata"]["generation"]
        if not counts.items() <= deployment.get("status", {}).items():
            self.server.merge(f"{_DEPLOYMENTS}/{name}/status", {"status": counts})
        crashes = fate == CRASHES and name.endswith("predictor")
        state = {"waiting": {"reason": "CrashLoopBackOff"}} if crashes else {"running": {}}
        container = {
            "name": "kserve-container",
            "image": "toolwear/serving:dev",
            "imageID": "",
            "ready": not crashes,
            "restartCount": 0,
            "state": state,
        }
        self.server.merge(
            f"{_PODS}/{name}-1/status", {"status": {"containerStatuses": [container]}}
        )

    def _items(self, path: str) -> list[Object]:
        found = self.server.get(path)
        assert found is not None
        return list(found["items"])


def _digest(service: Object) -> str:
    env = service["spec"]["predictor"]["model"]["env"]
    return str(next(x["value"] for x in env if x["name"] == "MODEL_SHA256"))


def _part(workload: Workload) -> str:
    """Return the name of a component's Deployment."""
    return workload.name.partition("/")[2].replace(" ", "-")


def _labels(service: Object, workload: Workload) -> dict[str, str]:
    name = _part(workload)
    return {
        **workload.labels,
        "app": name,
        "component": name.rpartition("-")[2],
        "serving.kserve.io/inferenceservice": service["metadata"]["name"],
    }


def _pod(workload: Workload) -> Object:
    """Return the pod of a component, beside whose container another controller puts its own."""
    spec = {key: value for key, value in workload.pod.items() if key not in _KSERVES}
    (own,) = workload.containers
    proxy = {key: own[key] for key in ("image", "securityContext")}
    other = proxy | {"name": "proxy", "env": [{"name": "OTHER", "value": "1"}]}
    return spec | {"containers": [other, dict(own) | {"name": "kserve-container"}]}


def _named(api_version: str, kind: str, name: str, labels: dict[str, str]) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


class _Handler(BaseHTTPRequestHandler):
    """Sends everything on to the real server, with the token of the account that deploys."""

    api: Api
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with self.api.lock:
            refused = self.api.answer(self.command)
            if refused is not None:
                told = {"kind": "Status", "code": refused, "message": f"told to say {refused}"}
                return self._say(refused, "application/json", json.dumps(told).encode())
            parts = urlsplit(self.path)
            if _LOG.fullmatch(parts.path):  # kept by a kubelet, which is not here
                previous = "previous" in parse_qs(parts.query)
                text = "predictor: the package was changed" if previous else ""
                return self._say(200 if previous else 400, "text/plain", text.encode())
            if parts.path.startswith((_DEPLOYMENTS, _PODS)):
                self.api.look()
            answer = self._sent_on(body)
            if self.command == "PATCH" and answer.status_code < httpx.codes.BAD_REQUEST:
                self.api.note(answer.json())
        return self._say(answer.status_code, answer.headers["content-type"], answer.content)

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def _sent_on(self, body: bytes) -> httpx.Response:
        kept = {key: value for key, value in self.headers.items() if key.lower() not in _SENT_ON}
        return self.api.server.client.request(
            self.command,
            self.path,
            content=body,
            headers=kept | {"authorization": f"Bearer {self.api.token}"},
        )

    def _say(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    """Answer on a free loopback port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
