"""The manifests as objects, rendered by kustomize or the one that `kubectl` brings."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from toolwear.common import fingerprint
from toolwear.common.errors import ToolwearError

ROOT = fingerprint.ROOT / "manifests"
OVERLAYS = ("kind", "staging", "production")
KSERVE_PORT = 8080  # that KServe tells an explainer and a transformer to listen on
MODELS = "models"  # below an overlay: the two InferenceServices

Object = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """Pods of one kind.

    Attributes:
        name: kind and name of what makes them, for messages.
        namespace: where they run.
        labels: of the pods.
        pod: the pod's specification.
        replicas: how many there are at least.
        serves: whether they go on until told to stop.
    """

    name: str
    namespace: str
    labels: Mapping[str, str]
    pod: Mapping[str, Any]
    replicas: int
    serves: bool

    @property
    def containers(self) -> Sequence[Mapping[str, Any]]:
        """Its containers, initial ones too."""
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]


def render(folder: str | Path) -> list[Object]:
    """Return the objects of a folder below `manifests/`.

    Raises:
        ToolwearError: there is no kubectl, or kustomize refuses the folder.
    """
    done = subprocess.run(
        [*_kustomize(), str(ROOT / folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolwearError(f"manifests/{folder} cannot be rendered: {done.stderr.strip()}")
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def everything(overlay: str) -> list[Object]:
    """Return all objects of an overlay: the system's and its two InferenceServices."""
    return [*render(f"overlays/{overlay}"), *render(f"overlays/{overlay}/{MODELS}")]


def named(item: Mapping[str, Any]) -> str:
    """Return kind and name of an object, for messages."""
    return f"{item['kind']} {item['metadata'].get('namespace', '-')}/{item['metadata']['name']}"


def of_kind(objects: Sequence[Object], *kinds: str) -> list[Object]:
    """Return the objects of some kinds."""
    return [item for item in objects if item["kind"] in kinds]


def workloads(objects: Sequence[Object]) -> Iterator[Workload]:
    """Yield everything that makes pods, an InferenceService's three components included."""
    for item in objects:
        spec = item.get("spec", {})
        if item["kind"] in ("Deployment", "StatefulSet"):
            yield _workload(item, spec["template"], spec.get("replicas", 1), serves=True)
        elif item["kind"] == "Job":
            yield _workload(item, spec["template"], 1, serves=False)
        elif item["kind"] == "CronJob":
            yield _workload(item, spec["jobTemplate"]["spec"]["template"], 0, serves=False)
        elif item["kind"] == "InferenceService":
            yield from _components(item, objects)


def _workload(item: Object, template: Object, replicas: int, *, serves: bool) -> Workload:
    labels = template["metadata"]["labels"]
    namespace = item["metadata"].get("namespace", "default")
    return Workload(named(item), namespace, labels, template["spec"], replicas, serves)


def _components(item: Object, objects: Sequence[Object]) -> Iterator[Workload]:
    for component in ("predictor", "transformer", "explainer"):
        spec = item["spec"].get(component)
        if spec is None:
            continue
        pod = dict(spec)
        if "model" in spec:
            runtime = next(
                found["spec"]
                for found in of_kind(objects, "ServingRuntime")
                if found["metadata"]["name"] == spec["model"]["runtime"]
            )
            # KServe lays the model's own settings over the runtime's container.
            own = spec["model"]
            container = dict(runtime["containers"][0])
            container["env"] = [*container.get("env", []), *own.get("env", [])]
            container["resources"] = own.get("resources", container["resources"])
            pod["containers"] = [container]
            pod["volumes"] = [*runtime.get("volumes", []), *spec.get("volumes", [])]
        else:
            first, *others = spec["containers"]
            pod["containers"] = [first | {"args": _with_kserves(first, component, item)}, *others]
        labels = {**item["metadata"].get("labels", {}), **spec.get("labels", {})}
        yield Workload(
            f"{named(item)} {component}",
            item["metadata"]["namespace"],
            labels,
            pod,
            spec.get("minReplicas", 1),
            serves=True,
        )


def _with_kserves(container: Mapping[str, Any], component: str, item: Object) -> list[str]:
    """Return the arguments of a component's own container with those that KServe 0.20 adds."""
    name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
    arguments = list(container.get("args", []))
    for option, value in (
        ("--model_name", name),
        ("--predictor_host", f"{name}-predictor.{namespace}"),
        ("--http_port", str(KSERVE_PORT)),
    ):
        # An explainer's port is added even where there is one, and the last one counts.
        always = component == "explainer" and option == "--http_port"
        if always or option not in arguments:
            arguments += [option, value]
    return arguments


def _kustomize() -> list[str]:
    if shutil.which("kustomize"):  # first: a kubectl may bring one that is too old
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    raise ToolwearError(
        "There is neither kubectl nor kustomize here; install kubectl 1.32 or newer."
    )
