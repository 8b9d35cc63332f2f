"""What the containers hold in memory while stages run, asked of the kubelets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.settings import STEP_LABEL
from tools import secrets
from tools.kind.programs import CommandFailedError, Programs

_SECONDS = 15.0
_MIB = 1 << 20
# Argo's beside a task's own, and what only brings files.
_HELPERS = {"wait", "init", "queue-proxy"}


@contextmanager
def watched(programs: Programs, peaks: dict[str, int]) -> Iterator[None]:
    """Keep the highest working set of each container of ours, MiB, in `peaks`."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_SECONDS):
            try:
                note(peaks, _summaries(programs), _steps(programs))
            except (CommandFailedError, ValueError):
                continue  # the API may be away for a moment, and a stage then says so

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    try:
        yield
    finally:
        ended.set()
        looker.join()


def note(peaks: dict[str, int], summaries: list[dict[str, Any]], steps: Mapping[str, str]) -> None:
    """Raise peaks to what kubelets say in their `stats/summary`.

    Args:
        peaks: MiB by container.
        summaries: one of each node.
        steps: of the pipeline, by the name of the task's pod.
    """
    for summary in summaries:
        for pod in summary.get("pods") or []:
            namespace, name = pod["podRef"]["namespace"], pod["podRef"]["name"]
            if namespace not in (secrets.NAMESPACE, secrets.STEPS):
                continue
            for container in pod.get("containers") or []:
                if container["name"] in _HELPERS:
                    continue
                used = int(container.get("memory", {}).get("workingSetBytes", 0)) // _MIB
                key = steps.get(name) or _kind(name, container["name"])
                peaks[key] = max(peaks.get(key, 0), used)


def _kind(pod: str, container: str) -> str:
    """Return what a container is, without what differs from pod to pod."""
    if container != "main" and not container.startswith("kserve-"):
        return container
    for part in ("predictor", "transformer", "explainer"):
        if f"-{part}-" in pod:
            return part
    return "a driver of the pipeline"


def _steps(programs: Programs) -> dict[str, str]:
    """Return the steps of the pipeline whose pods are there, by the pod's name."""
    where = ("--namespace", secrets.STEPS, "get", "pods", "--selector", STEP_LABEL)
    found = json.loads(programs.kubectl(*where, "--output", "json", quiet=True))["items"]
    return {one["metadata"]["name"]: one["metadata"]["labels"][STEP_LABEL] for one in found}


def _summaries(programs: Programs) -> list[dict[str, Any]]:
    nodes = programs.kubectl("get", "nodes", "--output", "name", quiet=True).split()
    return [
        json.loads(programs.kubectl("get", "--raw", f"/api/v1/{_path(node)}", quiet=True))
        for node in nodes
    ]


def _path(node: str) -> str:
    return f"nodes/{node.removeprefix('node/')}/proxy/stats/summary"
