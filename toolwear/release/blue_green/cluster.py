"""The Kubernetes API as the deployment uses it: server-side apply, and what comes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from toolwear.common.errors import ToolwearError
from toolwear.release.blue_green.colours import COLOURS, Manifest, Templates, name_of

NAMESPACE_VARIABLE = "TOOLWEAR_NAMESPACE"
FIELD_MANAGER = "toolwear-deploy"
TEMPLATES = "toolwear-models"  # ConfigMap with the manifests that wait for a digest
ROUTE = "toolwear"
_SERVICES = ("serving.kserve.io", "v1beta1", "inferenceservices")
_ROUTES = ("gateway.networking.k8s.io", "v1", "httproutes")
_OF_SERVICE = "serving.kserve.io/inferenceservice"  # KServe's label on pods
_SECONDS = (5, 30)  # to connect, and for an answer
_ATTEMPTS = 5
_LOG_LINES = 15
_ABSENT, _REFUSED = 404, (401, 403)


class ClusterDownError(Exception):
    """The Kubernetes API does not answer; the text is a sentence."""


@dataclass(frozen=True)
class Seen:
    """What there is of an InferenceService: its Deployment of a component, and that one's pods."""

    deployment: Manifest | None
    pods: list[Manifest]


class Cluster:
    """One namespace of a cluster.

    Args:
        client: `kubernetes.client.ApiClient`; by default of the pod's account, else of kubeconfig.
        namespace: of the models; by default $TOOLWEAR_NAMESPACE, else "toolwear".

    Raises:
        ToolwearError: there is no cluster here.
    """

    def __init__(self, client: Any = None, namespace: str = "") -> None:
        from kubernetes import client as api  # takes a second

        self._client = client if client is not None else _configured()
        self._apps, self._core = api.AppsV1Api(self._client), api.CoreV1Api(self._client)
        self._custom = api.CustomObjectsApi(self._client)
        self.namespace = namespace or os.environ.get(NAMESPACE_VARIABLE) or "toolwear"

    def templates(self) -> Templates:
        """Return the manifests that wait for a digest.

        Raises:
            ToolwearError: nobody has put them there.
        """
        with self._asking():
            found = self._found(
                self._core.read_namespaced_config_map, name=TEMPLATES, namespace=self.namespace
            )
        wanted = {f"{name}.yaml" for name in (*COLOURS, "route")}
        data = self._client.sanitize_for_serialization(found) if found is not None else {}
        texts = data.get("data", {})
        if not wanted <= texts.keys():
            raise ToolwearError(
                f"The ConfigMap {TEMPLATES} in {self.namespace} lacks the models' manifests; apply "
                "them: python -m tools.models OVERLAY | kubectl apply --filename -"
            )
        return Templates(
            {colour: yaml.safe_load(texts[f"{colour}.yaml"]) for colour in COLOURS},
            yaml.safe_load(texts["route.yaml"]),
        )

    def service(self, colour: str) -> Manifest | None:
        """Return a colour's InferenceService, if it is there."""
        return self._custom_object(_SERVICES, name_of(colour))

    def route(self) -> Manifest | None:
        """Return the route, if it is there."""
        return self._custom_object(_ROUTES, ROUTE)

    def apply_service(self, manifest: Manifest) -> None:
        """Make the InferenceService what the manifest says, and drop what we once said."""
        self._apply(_SERVICES, manifest)

    def apply_route(self, manifest: Manifest) -> None:
        """Make the route what the manifest says: its rules change in one step."""
        self._apply(_ROUTES, manifest)

    def delete_service(self, colour: str) -> None:
        """Take away a colour's InferenceService; it need not be there."""
        group, version, plural = _SERVICES
        with self._asking():
            self._found(
                self._custom.delete_namespaced_custom_object,
                group=group,
                version=version,
                namespace=self.namespace,
                plural=plural,
                name=name_of(colour),
            )

    def seen(self, colour: str, component: str) -> Seen:
        """Return what there is of one component of a colour."""
        name = f"{name_of(colour)}-{component}"
        with self._asking():
            deployment = self._found(
                self._apps.read_namespaced_deployment, name=name, namespace=self.namespace
            )
            pods = self._core.list_namespaced_pod(
                self.namespace,
                label_selector=f"{_OF_SERVICE}={name_of(colour)},component={component}",
                _request_timeout=_SECONDS,
            )
        plain = self._client.sanitize_for_serialization
        return Seen(None if deployment is None else plain(deployment), plain(pods)["items"])

    def log(self, pod: str, container: str) -> str:
        """Return the last lines of a container's log, of its run before this one if there was."""
        for previous in (True, False):
            try:
                text = self._core.read_namespaced_pod_log(
                    pod,
                    self.namespace,
                    container=container,
                    previous=previous,
                    tail_lines=_LOG_LINES,
                    _request_timeout=_SECONDS,
                )
            except _api_exception():
                continue  # there was no run before, or no log yet
            if text.strip():
                return str(text).strip()
        return "it logged nothing"

    def _custom_object(self, kind: tuple[str, str, str], name: str) -> Manifest | None:
        group, version, plural = kind
        with self._asking():
            found: Manifest | None = self._found(
                self._custom.get_namespaced_custom_object,
                group=group,
                version=version,
                namespace=self.namespace,
                plural=plural,
                name=name,
            )
            return found

    def _apply(self, kind: tuple[str, str, str], manifest: Manifest) -> None:
        group, version, plural = kind
        name = manifest["metadata"]["name"]
        with self._asking():
            # The generated call for custom objects cannot say this content type.
            self._client.call_api(
                f"/apis/{group}/{version}/namespaces/{self.namespace}/{plural}/{name}",
                "PATCH",
                query_params=[("fieldManager", FIELD_MANAGER), ("force", "true")],
                header_params={
                    "Content-Type": "application/apply-patch+yaml",
                    "Accept": "application/json",
                },
                body=manifest,
                response_type="object",
                auth_settings=["BearerToken"],
                _request_timeout=_SECONDS,
            )

    def _found(self, call: Any, **arguments: Any) -> Any:
        try:
            return call(**arguments, _request_timeout=_SECONDS)
        except _api_exception() as error:
            if error.status == _ABSENT:
                return None
            raise

    @contextmanager
    def _asking(self) -> Iterator[None]:
        from urllib3.exceptions import HTTPError

        try:
            yield
        except HTTPError as error:
            raise ClusterDownError(
                f"The Kubernetes API does not answer ({type(error).__name__})."
            ) from error
        except _api_exception() as error:
            if error.status in _REFUSED:
                raise ToolwearError(
                    f"The Kubernetes API refuses the deployment (HTTP {error.status}); bind the "
                    f"role toolwear-deployer of {self.namespace} to the account of the task."
                ) from None
            said = str(error.body or error.reason)[:500]
            raise ClusterDownError(f"The Kubernetes API answered {error.status}: {said}") from error


def _api_exception() -> Any:
    from kubernetes.client import ApiException

    return ApiException


def _configured() -> Any:
    from kubernetes import client, config
    from kubernetes.config import ConfigException

    configuration = client.Configuration()
    try:
        config.load_incluster_config(configuration)
    except ConfigException:
        try:
            config.load_kube_config(client_configuration=configuration)
        except ConfigException as error:
            raise ToolwearError(
                f"There is no cluster to deploy to ({error}); run this as a pod or set KUBECONFIG."
            ) from None
    configuration.retries = retries()
    return client.ApiClient(configuration)


def retries() -> Any:
    """Return how a call is tried again: each of ours may be sent twice."""
    from urllib3 import Retry

    return Retry(
        _ATTEMPTS,
        backoff_factor=0.5,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,
        raise_on_status=False,
    )
