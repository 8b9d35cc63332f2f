"""`python -m tools.backups backup | list | restore`: the cluster's copies, now and by hand.

Each part has a CronJob, `backup-PART`, whose script also lists the copies and brings one back. This
makes a Job of it, tells its log and waits. While a part is restored, what writes to it is stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tools import secrets
from tools.kind.programs import CommandFailedError, Programs, require
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError

BACKUP, LIST, RESTORE = "backup", "list", "restore"
_SECONDS = 2 * 3600
_POLL_SECONDS = 2.0
_WAIT = "--timeout=10m"


@dataclass(frozen=True)
class Part:
    """What is copied by one script.

    Attributes:
        namespace: of its CronJob.
        writers: Deployments beside it that are stopped while it is restored.
    """

    namespace: str = secrets.NAMESPACE
    writers: tuple[str, ...] = ()


# In the order in which a cluster that is new is filled again.
PARTS = {
    "objects": Part(),
    "postgres": Part(writers=("mlflow", "feast")),
    "home": Part(writers=("trigger", "monitor", "console")),
    "redis": Part(),
    "kubeflow": Part("kubeflow", ("ml-pipeline", "metadata-grpc-deployment")),
}


def run(programs: Programs, name: str, action: str, stamp: str = "") -> None:
    """Let a part's script do one thing, and wait for it.

    Raises:
        CommandFailedError: it fails, takes too long, or there is no such CronJob.
    """
    namespace = ("--namespace", PARTS[name].namespace)
    cron = json.loads(
        programs.kubectl(*namespace, "get", "cronjob", f"backup-{name}", "-o", "json", quiet=True)
    )
    job = job_of(cron, action, stamp)
    made = programs.kubectl(
        *namespace, "create", "-o", "name", "-f", "-", given=json.dumps(job)
    ).strip()
    _wait(programs, namespace, made)


def job_of(cron: dict[str, Any], action: str, stamp: str) -> dict[str, Any]:
    """Return the Job that does an action with the CronJob's pod; it is tried once."""
    spec = json.loads(json.dumps(cron["spec"]["jobTemplate"]["spec"]))
    (container,) = spec["template"]["spec"]["containers"]
    container["command"] = [*container["command"][:-1], action, *([stamp] if stamp else [])]
    if action != BACKUP:
        spec["backoffLimit"] = 0
    name = f"{cron['metadata']['name'].removeprefix('backup-')}-{action}-"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": name, "namespace": cron["metadata"]["namespace"]},
        "spec": spec,
    }


def _wait(programs: Programs, namespace: tuple[str, str], made: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        found = programs.kubectl(*namespace, "get", made, "-o", "json", quiet=True)
        conditions = json.loads(found).get("status", {}).get("conditions", [])
        ended = [x["type"] for x in conditions if x["status"] == "True"]
        if {"Complete", "Failed"} & set(ended):
            break
        if time.monotonic() >= deadline:
            raise CommandFailedError(f"{made} has not ended after {_SECONDS} s")
        time.sleep(_POLL_SECONDS)
    for line in programs.kubectl(*namespace, "logs", made, "--tail=200", quiet=True).splitlines():
        print(f"    {line}", flush=True)
    if "Failed" in ended:
        raise CommandFailedError(f"{made} failed; its log is above")


@contextmanager
def stopped(programs: Programs, part: Part) -> Iterator[None]:
    """Stop what writes to a part, and start it again whatever happens."""
    namespace = ("--namespace", part.namespace)
    there = {
        name: json.loads(
            programs.kubectl(*namespace, "get", "deployment", name, "-o", "json", quiet=True)
        )["spec"]
        for name in part.writers
    }
    try:
        for name in part.writers:
            programs.kubectl(*namespace, "scale", "deployment", name, "--replicas=0")
        for spec in there.values():
            labels = ",".join(f"{k}={v}" for k, v in spec["selector"]["matchLabels"].items())
            programs.kubectl(*namespace, "wait", "--for=delete", "pod", "-l", labels, _WAIT)
        yield
    finally:
        for name, spec in there.items():
            count = spec.get("replicas", 1)
            programs.kubectl(*namespace, "scale", "deployment", name, f"--replicas={count}")
    for name in part.writers:
        programs.kubectl(*namespace, "rollout", "status", f"deployment/{name}", _WAIT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools.backups", description=__doc__)
    parser.add_argument("action", choices=(BACKUP, LIST, RESTORE))
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--at", default="", metavar="STAMP", help="restore this one")
    parser.add_argument("--context", default="", help="of kubeconfig; default: the current one")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    if options.at and len(options.parts) != 1:
        parser.error("--at needs one part: the stamps of two are not the same")
    programs = Programs(options.context)
    try:
        require("kubectl")
        for name in options.parts or PARTS:
            print(f"{options.action} {name}", flush=True)
            if options.action == RESTORE:
                with stopped(programs, PARTS[name]):
                    run(programs, name, RESTORE, options.at)
            else:
                run(programs, name, options.action)
    except ToolwearError as error:
        print(f"backups: {error}", file=sys.stderr)
        return EXIT_USAGE
    except CommandFailedError as error:
        print(f"backups: {error}", file=sys.stderr)
        return EXIT_FAILURE
    return 0


if __name__ == "__main__":
    sys.exit(main())
