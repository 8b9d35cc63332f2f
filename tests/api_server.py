"""A real Kubernetes API server with etcd, on loopback; no controller is behind it, no kubelet."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from tests.manifests.schemas import CRDS
from tests.ports import free_port
from tests.programs import program
from tools.rendered import Object
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT

# Until when (seconds since 1970) CI builds the server beside the checks; unset where nobody does.
UNTIL = "TOOLWEAR_API_SERVER_UNTIL"
NOT_RUN = "NOT RUN"
_BUILT = ROOT / ".tools" / "go" / "kube-apiserver"
_FAILED = ROOT / "build" / "api-server.failed"  # CI leaves it
_ADMIN = "administrator-only-in-tests"
_READY_SECONDS = 120
_DEFINED = ("cert-manager", "gateway-api", "kserve", "prometheus-operator")

_NEED_CONTROLLERS = {"CronJob", "Deployment", "HTTPRoute", "InferenceService", "Job"}
_NEED_CONTROLLERS |= {"PersistentVolume", "PersistentVolumeClaim", "StatefulSet"}


@dataclass(frozen=True)
class ApiServer:
    """A server, and a client of it that may do everything.

    Attributes:
        url: of the server.
        certificate: of the server, which has signed it itself.
        client: sends the administrator's token.
    """

    url: str
    certificate: Path
    client: httpx.Client

    def path(self, api_version: str, kind: str, namespace: str = "", name: str = "") -> str:
        """Return the address of objects of a kind, or of one.

        Raises:
            ToolwearError: the server has no such kind.
        """
        base = f"/api{'' if api_version == 'v1' else 's'}/{api_version}"
        found = self.client.get(base).json().get("resources", [])
        for resource in found:
            if resource["kind"] == kind and "/" not in resource["name"]:
                where = f"/namespaces/{namespace}" if resource["namespaced"] else ""
                return f"{base}{where}/{resource['name']}" + (f"/{name}" if name else "")
        raise ToolwearError(f"The API server has no {kind} of {api_version}.")

    def apply(self, item: Object, *, manager: str = "tests", dry_run: bool = False) -> Object:
        """Apply an object on the server's side, as `kubectl apply --server-side` does.

        Raises:
            ToolwearError: it is refused, or the server warns of it.
        """
        metadata = item["metadata"]
        where = metadata.get("namespace", "default"), metadata["name"]
        more = {"dryRun": "All"} if dry_run else {}
        answer = self.client.patch(
            self.path(item["apiVersion"], item["kind"], *where),
            params={"fieldManager": manager, "force": "true", "fieldValidation": "Strict"} | more,
            headers={"content-type": "application/apply-patch+yaml"},
            content=yaml.safe_dump(item),
        )
        name = f"{item['kind']} {metadata['name']}"
        if warning := answer.headers.get("warning"):
            raise ToolwearError(f"{name}: the API server warns: {warning}")
        return _object(answer, name)

    def create(self, item: Object, *, dry_run: bool = False) -> Object:
        """Create an object.

        Raises:
            ToolwearError: it is refused.
        """
        metadata = item["metadata"]
        path = self.path(item["apiVersion"], item["kind"], metadata.get("namespace", ""))
        more = {"dryRun": "All"} if dry_run else {}
        answer = self.client.post(path, json=item, params={"fieldValidation": "Strict"} | more)
        return _object(answer, f"{item['kind']} {metadata['name']}")

    def merge(self, path: str, change: Object) -> Object:
        """Change the fields that are named, in an object or its status."""
        kind = {"content-type": "application/merge-patch+json"}
        return _object(self.client.patch(path, json=change, headers=kind), path)

    def get(self, path: str) -> Object | None:
        """Return what is at an address, None if nothing is."""
        answer = self.client.get(path)
        return None if answer.status_code == httpx.codes.NOT_FOUND else _object(answer, path)

    def delete(self, path: str) -> None:
        """Delete an object or all of a kind at once; there need not be any."""
        answer = self.client.delete(path, params={"gracePeriodSeconds": "0"})
        assert answer.status_code in (httpx.codes.OK, httpx.codes.NOT_FOUND), answer.text

    def token(self, namespace: str, account: str) -> str:
        """Return a token of a service account, as a pod of it has one."""
        path = self.path("v1", "ServiceAccount", namespace, account) + "/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return str(_object(self.client.post(path, json=asked), path)["status"]["token"])

    def may(self, account: str, verb: str, group: str, resource: str, **more: str) -> bool:
        """Ask what `kubectl auth can-i --as ACCOUNT` asks."""
        resource, _, subresource = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": account, "resourceAttributes": asked | more},
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(_object(self.client.post(path, json=review), path)["status"]["allowed"])

    def nothing_used(self, namespace: str) -> None:
        """Say of each quota what its controller would: what it allows, and that nothing is used."""
        path = self.path("v1", "ResourceQuota", namespace)
        for quota in (self.get(path) or {})["items"]:
            hard = quota["spec"]["hard"]
            status = {"hard": hard, "used": dict.fromkeys(hard, "0")}
            self.merge(f"{path}/{quota['metadata']['name']}/status", {"status": status})

    def define(self, files: Iterable[Path]) -> None:
        """Create CustomResourceDefinitions and wait until they are served."""
        names = []
        for path in files:
            item = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
            item["spec"].pop("conversion", None)  # no webhook of theirs is here
            self.create(item)
            names.append(item["metadata"]["name"])
        there = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        deadline = time.monotonic() + _READY_SECONDS
        for name in names:
            while not _is_established(self.get(f"{there}/{name}")):
                assert time.monotonic() < deadline, f"{name} is not served"
                time.sleep(0.1)


def installed(server: ApiServer, objects: Iterable[Object]) -> None:
    """Apply what of an overlay stands by itself: accounts, roles, quotas, policies, settings.

    Raises:
        ToolwearError: the server refuses or warns of an object.
    """
    account = {"name": "pipeline-runner", "namespace": "kubeflow"}  # that of KFP's tasks
    server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubeflow"}})
    server.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    for item in namespaces_first(objects):
        if item["kind"] not in _NEED_CONTROLLERS:
            server.apply(item)


def namespaces_first(objects: Iterable[Object]) -> list[Object]:
    """Return the objects in an order in which they can be made."""
    return sorted(objects, key=lambda item: str(item["kind"] != "Namespace"))


@contextmanager
def served(folder: Path) -> Iterator[ApiServer]:
    """Start a server that knows the custom kinds of our manifests."""
    if not CRDS:
        pytest.skip(f"{NOT_RUN}: TOOLWEAR_CRDS is not set, and its definitions are needed")
    with api_server(folder) as server:
        server.define(path for name in _DEFINED for path in sorted(Path(CRDS, name).glob("*.yaml")))
        yield server


@contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """Start a server with an empty etcd; nothing of it is left."""
    binary, etcd = _binary(), program("etcd")
    key = folder / "accounts.key"
    command = ["openssl", "genrsa", "-out", str(key), "2048"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "tokens.csv").write_text(f'{_ADMIN},admin,admin,"system:masters"\n')
    store, other = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    port = free_port()
    commands = [
        [
            *(etcd, f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync"),
            *(f"--listen-client-urls={store}", f"--advertise-client-urls={store}"),
            *(f"--listen-peer-urls={other}", "--max-request-bytes=4194304"),
        ],
        [
            *(binary, f"--etcd-servers={store}", "--bind-address=127.0.0.1"),
            *(f"--secure-port={port}", f"--cert-dir={folder}", "--authorization-mode=RBAC"),
            *(
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--service-account-issuer=https://tests",
            ),
            *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
            "--service-cluster-ip-range=10.96.0.0/16",
            # Nobody is to reach it, and a machine may have no address but that of loopback.
            *("--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none"),
            # Debian's etcd 3.4 cannot tell how far a watch is.
            "--feature-gates=WatchList=false,SizeBasedListCostEstimate=false",
        ],
    ]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
                started.append(subprocess.Popen(command, stdout=log, stderr=log))
        yield from _answering(folder, port, started)
    finally:
        for process in reversed(started):
            process.kill()  # nothing of it is to be kept
            process.wait()
        shutil.rmtree(folder / "etcd", ignore_errors=True)


def _answering(
    folder: Path, port: int, started: list[subprocess.Popen[bytes]]
) -> Iterator[ApiServer]:
    certificate = folder / "apiserver.crt"
    url = f"https://127.0.0.1:{port}"
    deadline = time.monotonic() + _READY_SECONDS
    while not certificate.exists():
        _see_to(folder, started, deadline)
    headers = {"authorization": f"Bearer {_ADMIN}"}
    with httpx.Client(
        base_url=url, verify=_trusting(certificate), headers=headers, timeout=60, trust_env=False
    ) as client:
        while not _is_ready(client):
            _see_to(folder, started, deadline)
        yield ApiServer(url, certificate, client)


def _see_to(folder: Path, started: list[subprocess.Popen[bytes]], deadline: float) -> None:
    for process in started:
        said = "".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
    time.sleep(0.1)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _is_established(definition: Object | None) -> bool:
    assert definition is not None
    conditions = definition["status"].get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def _object(answer: httpx.Response, what: str) -> Object:
    body: Object = answer.json()
    if answer.is_error:
        raise ToolwearError(f"{what}: {answer.status_code}: {body.get('message', body)}")
    return body


def _binary() -> str:
    """Return the server's path, waiting while CI builds it; skip where there is none."""
    until = float(os.environ.get(UNTIL, "0"))
    while not _BUILT.exists() and not _FAILED.exists() and time.time() < until:
        time.sleep(1)
    if not _BUILT.exists():
        late = "CI could not compile it" if _FAILED.exists() else "CI has not compiled it in time"
        why = late if until else "make api-server compiles it"
        pytest.skip(f"{NOT_RUN}: kube-apiserver is not there: {why}")
    return str(_BUILT)
