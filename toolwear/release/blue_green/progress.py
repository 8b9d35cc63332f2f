"""Whether a component of an InferenceService has come up, is still coming, or never will.

`Ready` of the InferenceService says nothing of it: it stays true while old pods answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolwear.release.blue_green.cluster import Seen
from toolwear.release.blue_green.colours import Manifest, variable

# States of a container from which it does not get by itself in the time of a deployment.
_HOPELESS = {
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
}


@dataclass(frozen=True)
class Stuck:
    """A container that will not come up by itself."""

    pod: str
    container: str
    why: str


@dataclass(frozen=True)
class Progress:
    """How far a component is; `says` is a phrase."""

    up: bool
    says: str
    failed: bool = False
    stuck: Stuck | None = None


def progress(seen: Seen, digest: str) -> Progress:
    """Return how far a component with the package `digest` is."""
    deployment = seen.deployment
    if deployment is None:
        return Progress(False, "no Deployment yet")
    if digest not in _digests(deployment["spec"]["template"]["spec"]):
        return Progress(False, "its Deployment still has another package")
    status = deployment.get("status", {})
    for stuck in _stuck(seen.pods, digest):
        return Progress(False, f"{stuck.container}: {stuck.why}", failed=True, stuck=stuck)
    conditions = {x["type"]: x for x in status.get("conditions", [])}
    if conditions.get("Progressing", {}).get("status") == "False":
        why = _why(conditions["Progressing"])
        return Progress(False, f"it makes no progress: {why}", failed=True)
    if conditions.get("ReplicaFailure", {}).get("status") == "True":
        # A full quota or a webhook that is down: it may pass.
        return Progress(False, f"no pod can be made: {_why(conditions['ReplicaFailure'])}")
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 1):
        return Progress(False, "its Deployment was not looked at yet")
    wanted = deployment["spec"].get("replicas", 1)
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    up = wanted > 0 and counts == [wanted] * 3
    return Progress(up, f"{counts[2]} of {wanted} available, {counts[1]} new, {counts[0]} in all")


def _digests(pod: Mapping[str, Any]) -> set[str]:
    return {variable(container.get("env", [])) for container in pod["containers"]}


def _why(condition: Mapping[str, Any]) -> str:
    return str(condition.get("message") or condition.get("reason", "no reason given"))


def _stuck(pods: list[Manifest], digest: str) -> Iterator[Stuck]:
    for pod in pods:
        if digest not in _digests(pod["spec"]):
            continue
        status = pod.get("status", {})
        for kind in ("initContainerStatuses", "containerStatuses"):
            for container in status.get(kind, []):
                waiting = container.get("state", {}).get("waiting", {})
                if waiting.get("reason") in _HOPELESS:
                    yield Stuck(pod["metadata"]["name"], container["name"], waiting["reason"])
