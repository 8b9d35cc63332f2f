"""A Kubernetes API on a loopback socket: server-side apply, and a controller as KServe's is.

It keeps what field managers own, as the real one does where it matters here: what a manager applied
before and says no more is dropped; lists are replaced as a whole.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
UP, NEVER, CRASHES = "up", "never", "crashes"
_CUSTOM = re.compile(
    r"/apis/(serving.kserve.io/v1beta1|gateway.networking.k8s.io/v1)/namespaces/toolwear/"
    r"(inferenceservices|httproutes)/([a-z-]+)"
)
_DEPLOYMENT = re.compile(r"/apis/apps/v1/namespaces/toolwear/deployments/([a-z-]+)")
_LOG = re.compile(r"/api/v1/namespaces/toolwear/pods/([a-z0-9-]+)/log")
_KINDS = {"inferenceservices": "InferenceService", "httproutes": "HTTPRoute"}


@dataclass
class Api:
    """What there is, and how new models fare.

    Attributes:
        fate: returns what becomes of the pods of (name, digest) when they are looked at.
        answer: an HTTP status with which every request is refused, if it returns one.
        applied: (plural, name, spec) of every apply, in order.
        rolled: names of the InferenceServices whose pods were made or made anew, in order.
    """

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    owned: dict[tuple[str, str], Object] = field(default_factory=dict)
    config_maps: dict[str, Object] = field(default_factory=dict)
    fate: Callable[[str, str], str] = lambda name, digest: UP
    answer: Callable[[str], int | None] = lambda method: None
    applied: list[tuple[str, str, Object]] = field(default_factory=list)
    rolled: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    url: str = ""

    def apply(self, plural: str, name: str, body: Object) -> Object:
        key = (plural, name)
        live = self.objects.get(key)
        new: Object = copy.deepcopy(live) if live else {"metadata": {"generation": 0, "uid": name}}
        _drop(new, self.owned.get(key, {}), body)
        _lay(new, body)
        # The server's own fields, and one that a webhook fills in.
        changed = live is None or new.get("spec") != live.get("spec")
        new["metadata"]["generation"] += changed
        new["metadata"]["resourceVersion"] = str(len(self.applied) + 1)
        new["metadata"]["managedFields"] = [{"manager": "toolwear-deploy"}]
        self.objects[key], self.owned[key] = new, copy.deepcopy(body)
        self.applied.append((plural, name, copy.deepcopy(new)))
        if plural == "inferenceservices" and (live is None or _template(new) != _template(live)):
            self.rolled.append(name)
        return new

    def service(self, colour: str) -> Object | None:
        return self.objects.get(("inferenceservices", f"toolwear-{colour}"))

    def weights(self) -> list[dict[str, int]]:
        """The weights of both rules of the route, by colour."""
        route = self.objects[("httproutes", "toolwear")]
        return [
            {backend["name"].split("-")[1]: backend["weight"] for backend in rule["backendRefs"]}
            for rule in route["spec"]["rules"]
        ]

    def deployment(self, name: str) -> Object | None:
        """What the controller has made of a component."""
        service_name, _, part = name.rpartition("-")
        service = self.objects.get(("inferenceservices", service_name))
        if service is None:
            return None
        digest = _digest(service)
        fate = self.fate(service_name, digest)
        count, generation = (1 if fate == UP else 0), self.rolled.count(service_name)
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "generation": generation},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"annotations": service["metadata"].get("annotations", {})},
                    "spec": _pod_spec(part, digest),
                },
            },
            "status": {
                "observedGeneration": generation,
                "replicas": 1,
                "updatedReplicas": 1,
                "availableReplicas": count,
            },
        }

    def pods(self, selector: str) -> list[Object]:
        wanted = dict(part.split("=") for part in selector.split(","))
        name, part = wanted["serving.kserve.io/inferenceservice"], wanted["component"]
        service = self.objects.get(("inferenceservices", name))
        if service is None:
            return []
        digest = _digest(service)
        crashes = self.fate(name, digest) == CRASHES and part == "predictor"
        state = {"waiting": {"reason": "CrashLoopBackOff"}} if crashes else {"running": {}}
        status = {
            "containerStatuses": [
                {
                    "name": "kserve-container",
                    "image": "toolwear/serving:dev",
                    "imageID": "",
                    "ready": not crashes,
                    "restartCount": 0,
                    "state": state,
                }
            ]
        }
        spec = _pod_spec(part, digest)
        return [{"metadata": {"name": f"{name}-{part}-1"}, "spec": spec, "status": status}]


def _template(service: Object) -> Object:
    """Return what KServe makes pods of: it copies labels and annotations too."""
    metadata = service["metadata"]
    copied = {key: metadata.get(key) for key in ("labels", "annotations")}
    return {**copied, "spec": service["spec"]}


def _digest(service: Object) -> str:
    env = service["spec"]["predictor"]["model"]["env"]
    return str(next(x["value"] for x in env if x["name"] == "MODEL_SHA256"))


def _pod_spec(part: str, digest: str) -> Object:
    container = {"name": "kserve-container", "env": [{"name": "MODEL_SHA256", "value": digest}]}
    proxy = {"name": f"{part}-proxy", "env": [{"name": "OTHER", "value": "1"}]}
    return {"containers": [proxy, container]}


def _drop(live: Object, before: Object, now: Object) -> None:
    """Drop what was applied before and is said no more."""
    for key, value in before.items():
        if key not in now:
            live.pop(key, None)
        elif isinstance(value, dict) and isinstance(now[key], dict) and key in live:
            _drop(live[key], value, now[key])


def _lay(live: Object, now: Object) -> None:
    for key, value in now.items():
        if isinstance(value, dict) and isinstance(live.get(key), dict):
            _lay(live[key], value)
        else:
            live[key] = copy.deepcopy(value)


class _Handler(BaseHTTPRequestHandler):
    api: Api
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(self._read)

    def do_PATCH(self) -> None:
        self._answer(self._apply)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def _answer(self, work: Callable[[str, dict[str, str], bytes], Any]) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with self.api.lock:
            refused = self.api.answer(self.command)
            result = refused if refused is not None else work(parts.path, query, body)
        status = result if isinstance(result, int) else 200
        if isinstance(result, int):
            result = {"kind": "Status", "code": result, "message": f"stub says {result}"}
        text = result if isinstance(result, str) else json.dumps(result)
        self.send_response(status)
        kind = "text/plain" if isinstance(result, str) else "application/json"
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _read(self, path: str, query: dict[str, str], body: bytes) -> Any:
        if found := _CUSTOM.fullmatch(path):
            return self.api.objects.get((found[2], found[3]), 404)
        if found := _DEPLOYMENT.fullmatch(path):
            return self.api.deployment(found[1]) or 404
        if _LOG.fullmatch(path):
            return "predictor: the package was changed" if "previous" in query else 400
        if path == "/api/v1/namespaces/toolwear/pods":
            return {"kind": "PodList", "items": self.api.pods(query["labelSelector"])}
        if path == "/api/v1/namespaces/toolwear/configmaps/toolwear-models":
            return self.api.config_maps.get("toolwear-models", 404)
        return 404

    def _apply(self, path: str, query: dict[str, str], body: bytes) -> Any:
        found = _CUSTOM.fullmatch(path)
        apply_patch = self.headers["content-type"] == "application/apply-patch+yaml"
        if not found or not apply_patch or not query.get("fieldManager"):
            return 415
        manifest = json.loads(body)
        wanted = {"apiVersion": found[1], "kind": _KINDS[found[2]]}
        named = manifest["metadata"]["name"] == found[3]
        clean = "managedFields" not in manifest["metadata"] and "status" not in manifest
        if not named or not clean or not wanted.items() <= manifest.items():
            return 400
        return self.api.apply(found[2], found[3], manifest)

    def _delete(self, path: str, query: dict[str, str], body: bytes) -> Any:
        found = _CUSTOM.fullmatch(path)
        if not found or (found[2], found[3]) not in self.api.objects:
            return 404
        self.api.owned.pop((found[2], found[3]))
        self.api.objects.pop((found[2], found[3]))
        return {"kind": "Status", "status": "Success"}

    def log_message(self, *args: Any) -> None:
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
