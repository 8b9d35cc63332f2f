"""What the workflows and actions have to keep to beside what actionlint and zizmor look for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Document = dict[Any, Any]
Policy = Callable[[Mapping[str, Document]], list[str]]
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_TRIGGERS = True  # YAML 1.1 reads the key `on` as a truth


def steps(documents: Mapping[str, Document]) -> Iterator[tuple[str, Document]]:
    """Yield every step with the file that it is in."""
    for path, document in documents.items():
        for part in (*document.get("jobs", {}).values(), document.get("runs", {})):
            for step in part.get("steps", []):
                yield path, step


def jobs(documents: Mapping[str, Document]) -> Iterator[tuple[str, Document]]:
    """Yield every job with its name."""
    for path, document in documents.items():
        for name, job in document.get("jobs", {}).items():
            yield f"{path}: {name}", job


def pinned(documents: Mapping[str, Document]) -> list[str]:
    """Actions of others are pinned by commit, images by digest."""
    found = [
        f"{path}: {step['uses']} is not pinned by commit"
        for path, step in steps(documents)
        if "uses" in step
        and not step["uses"].startswith("./")
        and not _PINNED.fullmatch(step["uses"])
    ]
    return found + [
        f"{name} runs in an image without a digest"
        for name, job in jobs(documents)
        if "container" in job and not _DIGEST.fullmatch(job["container"]["image"])
    ]


def timeouts(documents: Mapping[str, Document]) -> list[str]:
    """Each job that has a machine lets go of it after at most two hours."""
    return [
        f"{name} has no timeout of at most 120 minutes"
        for name, job in jobs(documents)
        if "uses" not in job and not 0 < job.get("timeout-minutes", 0) <= 120
    ]


def permissions(documents: Mapping[str, Document]) -> list[str]:
    """Workflows start with no permission; each job names what it needs."""
    found = [
        f"{path} does not begin with no permissions"
        for path, document in documents.items()
        if "jobs" in document and document.get("permissions") != {}
    ]
    return found + [
        f"{name} does not name its permissions"
        for name, job in jobs(documents)
        if not isinstance(job.get("permissions"), dict)
    ]


def concurrency(documents: Mapping[str, Document]) -> list[str]:
    """Two of the same do not run at once, and a deployment is never cut off."""
    found = []
    for path, document in documents.items():
        if "jobs" not in document:
            continue
        settings = document.get("concurrency", {})
        if not settings.get("group"):
            found.append(f"{path} has no concurrency group")
        deploys = any("environment" in job for job in document["jobs"].values())
        if deploys and settings.get("cancel-in-progress") is not False:
            found.append(f"{path} may cut off a deployment")
    return found


def environments(documents: Mapping[str, Document]) -> list[str]:
    """Who reads a cluster's account runs in an environment, where a person can hold it."""
    return [
        f"{name} reads an account outside of an environment"
        for name, job in jobs(documents)
        if "secrets.KUBECONFIG" in str(job) and "environment" not in job
    ]


def triggers(documents: Mapping[str, Document]) -> list[str]:
    """Nothing runs a stranger's change with our permissions."""
    return [
        f"{path} is started by {name}"
        for path, document in documents.items()
        for name in document.get(_TRIGGERS, {})
        if name in ("pull_request_target", "workflow_run", "issue_comment")
    ]


def shells(documents: Mapping[str, Document]) -> list[str]:
    """No expression is pasted into a script: values go in by the environment."""
    return [
        f"{path}: '{step['run'].splitlines()[0]}' has an expression in its script"
        for path, step in steps(documents)
        if "${{" in step.get("run", "")
    ]


POLICIES: Sequence[Policy] = (
    pinned,
    timeouts,
    permissions,
    concurrency,
    environments,
    triggers,
    shells,
)
