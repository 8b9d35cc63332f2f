"""What one would look at first when a step fails on the cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tools.kind.programs import CommandFailedError, Programs

_EVENTS, _LOG_LINES, _PODS = 25, 20, 6


def diagnose(programs: Programs) -> Iterator[str]:
    """Yield what is wrong with the pods, by what the cluster says."""
    try:
        pods = json.loads(programs.kubectl("get", "pods", "-A", "--output", "json", quiet=True))
        bad = [pod for pod in pods["items"] if not _fine(pod)]
        yield f"{len(pods['items'])} pods, {len(bad)} of them not ready:"
        for pod in bad:
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            yield f"  {namespace}/{name}: {pod['status'].get('phase')}; {_why(pod)}"
        for pod in bad[:_PODS]:
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            yield f"--- log of {namespace}/{name}"
            yield _log(programs, namespace, name)
        events = programs.kubectl(
            *("get", "events", "-A", "--field-selector", "type=Warning"),
            *("--sort-by", ".lastTimestamp"),
            quiet=True,
        )
        yield "--- the last warnings"
        yield "\n".join(events.splitlines()[-_EVENTS:])
    except (CommandFailedError, ValueError, KeyError) as error:
        yield f"there is no more to learn from the cluster: {error}"


def _log(programs: Programs, namespace: str, name: str) -> str:
    """Return the end of a pod's log; one whose containers have not started has none."""
    try:
        return programs.kubectl(
            *("--namespace", namespace, "logs", name, "--all-containers", "--prefix"),
            f"--tail={_LOG_LINES}",
            quiet=True,
        ).rstrip()
    except CommandFailedError as error:
        return str(error)


def _fine(pod: Mapping[str, Any]) -> bool:
    status = pod["status"]
    if status.get("phase") == "Succeeded":
        return True
    containers = status.get("containerStatuses", [])
    return bool(containers) and all(container["ready"] for container in containers)


def _why(pod: Mapping[str, Any]) -> str:
    status = pod["status"]
    reasons = [
        f"{container['name']}: {state['reason']}"
        for kind in ("initContainerStatuses", "containerStatuses")
        for container in status.get(kind, [])
        for state in container.get("state", {}).values()
        if state.get("reason")
    ]
    reasons += [
        condition["message"]
        for condition in status.get("conditions", [])
        if condition["status"] == "False" and condition.get("message")
    ]
    return "; ".join(reasons) or "no reason given"
