"""The steps from nothing to a model that answers on kind. Each may be repeated."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from pipelines.settings import HOME_PATH, STORE_KEYS, STORE_SECRET, USER
from tools import secrets, versions
from tools.kind.needs import see_what_is_there
from tools.kind.programs import CommandFailedError, call, require
from tools.kind.tries import Settings, ask, pipeline
from tools.rendered import of_kind, render
from toolwear.common import images, ports
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT

CLUSTER = "toolwear"
CONTEXT = f"kind-{CLUSTER}"
_BACKUPS_PATH = f"{HOME_PATH}-backups"  # as in overlays/kind/backups.yaml
_NODE = f"{CLUSTER}-control-plane"
_KFP = "github.com/kubeflow/pipelines/manifests/kustomize"
# Version 2 needs none of these: caches, metadata and viewers of version 1.
_ONLY_VERSION_1 = (
    "cache-deployer-deployment",
    "cache-server",
    "metadata-writer",
    "ml-pipeline-viewer-crd",
    "ml-pipeline-visualizationserver",
)
_KFP_WAITS = (
    "mysql",
    "seaweedfs",
    "metadata-grpc-deployment",
    "metadata-envoy-deployment",
    "workflow-controller",
    "ml-pipeline",
    "ml-pipeline-persistenceagent",
    "ml-pipeline-scheduledworkflow",
    "ml-pipeline-ui",
)
_WAIT = "15m"


Step = Callable[[Settings], None]


def cluster(_settings: Settings) -> None:
    """See that the machine has what it takes, and create the kind cluster."""
    require("docker", "kind", "kubectl", "helm")
    if CLUSTER not in call(["kind", "get", "clusters"]).split():
        see_what_is_there()  # once it is made, the disk is its own
        config, image = str(ROOT / "kind-config.yaml"), f"kindest/node:{versions.KUBERNETES}"
        call(["kind", "create", "cluster", "--config", config, "--image", image, "--wait", "5m"])
    # The volumes' folders have to be there before the kubelet makes them, which makes them root's.
    for folder in (HOME_PATH, _BACKUPS_PATH):
        call(["docker", "exec", _NODE, "mkdir", "-p", folder])
        call(["docker", "exec", _NODE, "chown", f"{USER}:{USER}", folder])


def network(settings: Settings) -> None:
    """Let kind's network use the CPU that enforcing the policies takes."""
    limits = {"name": "kindnet-cni", "resources": {"limits": {"cpu": None}}}
    patch = {"spec": {"template": {"spec": {"containers": [limits]}}}}
    kubectl = settings.programs.kubectl
    kubectl("--namespace", "kube-system", "patch", "daemonset", "kindnet", "-p", json.dumps(patch))
    _rolled_out(settings, "kube-system", "daemonset/kindnet")


def load_images(_settings: Settings) -> None:
    """Bring our images to the node."""
    names = [images.PIPELINE, images.AUTOML, images.SERVING]
    for name in names:
        try:
            call(["docker", "image", "inspect", "--format", "{{.Id}}", name])
        except CommandFailedError:
            raise ToolwearError(
                f"There is no image {name} in Docker; build the images first: make images"
            ) from None
    call(["kind", "load", "docker-image", "--name", CLUSTER, *names])


def kubeflow(settings: Settings) -> None:
    """Install Kubeflow Pipelines, without what only its version 1 needs."""
    kubectl = settings.programs.kubectl
    kubectl("apply", "-k", f"{_KFP}/cluster-scoped-resources?ref={versions.KFP}")
    crd = "crd/applications.app.k8s.io"
    kubectl("wait", "--for", "condition=established", "--timeout=60s", crd)
    # env/dev would take images of the day.
    kubectl("apply", "-k", f"{_KFP}/env/platform-agnostic?ref={versions.KFP}")
    where = ("--namespace", "kubeflow")
    kubectl(*where, "scale", "deployment", *_ONLY_VERSION_1, "--replicas=0")
    # A workflow that passes Argo's limit is compressed, and then a failed run names no step.
    size = f"MAX_WORKFLOW_SIZE={versions.WORKFLOW_BYTES}"
    kubectl(*where, "set", "env", "deployment/workflow-controller", size)
    if settings.overlay == "kind":
        for name, mebibytes in versions.KFP_ON_KIND.items():
            request = f"--requests=memory={mebibytes}Mi"
            # Its initial containers have limits below that.
            only = f"--containers={versions.KFP_CONTAINERS.get(name, name)}"
            kubectl(*where, "set", "resources", f"deployment/{name}", only, request)
    for name in _KFP_WAITS:
        _rolled_out(settings, "kubeflow", f"deployment/{name}")


def cert_manager(settings: Settings) -> None:
    """Install cert-manager, which KServe's webhooks need."""
    settings.programs.helm(
        *_release("cert-manager", "cert-manager", versions.CERT_MANAGER, "cert-manager"),
        "--repo=https://charts.jetstack.io",
        "--set=crds.enabled=true",
    )


def kserve(settings: Settings) -> None:
    """Install KServe in Standard mode: without Knative, a mesh, and routes of its own."""
    charts = "oci://ghcr.io/kserve/charts"
    helm = settings.programs.helm
    helm(*_release("kserve-crd", f"{charts}/kserve-crd", versions.KSERVE, "kserve"))
    helm(
        *_release("kserve", f"{charts}/kserve-resources", versions.KSERVE, "kserve"),
        "--set=kserve.controller.deploymentMode=Standard",
        "--set=kserve.controller.gateway.disableIngressCreation=true",
        # Else each InferenceService warns that there is no Istio.
        "--set=kserve.controller.gateway.disableIstioVirtualHost=true",
    )


def gateway(settings: Settings) -> None:
    """Install Envoy Gateway, which brings the Gateway API's definitions."""
    settings.programs.helm(
        *_release(
            "envoy-gateway",
            "oci://docker.io/envoyproxy/gateway-helm",
            versions.ENVOY_GATEWAY,
            "envoy-gateway-system",
        )
    )


def system(settings: Settings) -> None:
    """Apply everything of ours but the models: secrets that are not there yet, then the overlay."""
    kubectl = settings.programs.kubectl
    objects = render(f"overlays/{settings.overlay}")
    (namespace,) = of_kind(objects, "Namespace")
    kubectl("apply", "--server-side", "--filename", "-", given=json.dumps(namespace))
    _make_secrets(settings)
    # A Job cannot be changed: it is made anew.
    jobs = of_kind(objects, "Job")
    for job in jobs:
        name = job["metadata"]["name"]
        kubectl("--namespace", secrets.NAMESPACE, "delete", "job", name, "--ignore-not-found")
    folder = str(ROOT / "manifests" / "overlays" / settings.overlay)
    kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", folder)
    for item in of_kind(objects, "StatefulSet", "Deployment"):
        name = f"{item['kind'].lower()}/{item['metadata']['name']}"
        _rolled_out(settings, item["metadata"]["namespace"], name)
    for job in jobs:
        name = f"job/{job['metadata']['name']}"
        kubectl(
            *("--namespace", secrets.NAMESPACE, "wait", "--for", "condition=complete"),
            *("--timeout=10m", name),
        )


def models(settings: Settings) -> None:
    """Apply the manifests that wait for a model; the pipeline puts the model in."""
    command = [sys.executable, "-m", "tools.models", settings.overlay]
    rendered = call(command)
    settings.programs.kubectl("apply", "--server-side", "--filename", "-", given=rendered)


def recordings(settings: Settings) -> None:
    """Bring recordings to the volume, if a folder of them was given."""
    if settings.data is None:
        print("  none given: the run takes Kaggle's, or the simulator's if Kaggle is out of reach")
        return
    folder = f"{HOME_PATH}/recordings"
    call(["docker", "exec", _NODE, "mkdir", "-p", folder])
    call(["docker", "cp", f"{settings.data}/.", f"{_NODE}:{folder}"])
    call(["docker", "exec", _NODE, "chown", "-R", f"{USER}:{USER}", folder])


STEPS: dict[str, Step] = {
    "cluster": cluster,
    "network": network,
    "images": load_images,
    "kubeflow": kubeflow,
    "cert-manager": cert_manager,
    "kserve": kserve,
    "gateway": gateway,
    "system": system,
    "models": models,
    "recordings": recordings,
    "pipeline": pipeline,
    "ask": ask,
}
# Those that fill a cluster of somebody else's, but for the pipeline.
INSTALLS = ("kubeflow", "cert-manager", "kserve", "gateway", "system", "models")
# Those that try a cluster which has everything: what `make e2e` does with one that is given.
TRIES = ("pipeline", "ask")

# Namespace, Service and port of each page, and what one finds there.
PAGES = (
    ("toolwear", "console", ports.CONSOLE, "the console"),
    ("kubeflow", "ml-pipeline-ui", 80, "runs of the pipeline"),
    ("toolwear", "mlflow", 5000, "the registry"),
    ("toolwear", "prometheus", ports.PROMETHEUS, "metrics"),
    ("toolwear", "grafana", 3000, "dashboards (user admin, password in secret toolwear-grafana)"),
    ("toolwear", "alertmanager", ports.ALERTMANAGER, "alerts"),
    ("toolwear", "monitor", ports.MONITOR, "drift (/reports/)"),
)


def print_pages(settings: Settings) -> None:
    """Print how the pages are reached."""
    context = settings.programs.context
    print("\nEach page is reached by a port that you forward, and is closed otherwise:")
    for number, (namespace, service, port, what) in enumerate(PAGES, start=8001):
        forward = f"--namespace {namespace} port-forward svc/{service} {number}:{port}"
        print(f"  {what}: kubectl --context {context} {forward}, then http://127.0.0.1:{number}")
    print("take it all away again: make kind-down")


def _release(name: str, chart: str, version: str, namespace: str) -> list[str]:
    where = ["--namespace", namespace, "--create-namespace", "--version", version]
    return ["upgrade", "--install", name, chart, *where, "--wait", f"--timeout={_WAIT}"]


def _rolled_out(settings: Settings, namespace: str, name: str) -> None:
    settings.programs.kubectl(
        "--namespace", namespace, "rollout", "status", name, f"--timeout={_WAIT}"
    )


def _make_secrets(settings: Settings) -> None:
    """Make those that are not there: new passwords would not fit the databases of before."""
    kubectl = settings.programs.kubectl
    found = kubectl(
        *("--namespace", secrets.NAMESPACE, "get", "secrets", "--output", "name"), quiet=True
    )
    there = {line.removeprefix("secret/") for line in found.split()}
    missing = [one for one in secrets.SECRETS if one.name not in there]
    if not missing:
        return
    store = json.loads(
        kubectl(
            *("--namespace", "kubeflow", "get", "secret", STORE_SECRET, "--output", "json"),
            quiet=True,
        )
    )
    access, secret = (secrets.decoded(store["data"][key]) for key in STORE_KEYS)
    made = [item for one in missing for item in secrets.manifests(one, one.make(access, secret))]
    listed = {"apiVersion": "v1", "kind": "List", "items": made}
    kubectl("create", "--filename", "-", given=json.dumps(listed))
