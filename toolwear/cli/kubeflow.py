"""Brings the pipeline to Kubeflow Pipelines: a version, its schedule, a run and how it ended."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from toolwear.cli.graph import Graph, compile_graph
from toolwear.cli.provenance import UNKNOWN, commit
from toolwear.common.errors import EXIT_FAILURE, ToolwearError
from toolwear.common.person import who
from toolwear.run.kubeflow import (
    HOST_VARIABLE,
    PIPELINE,
    SCORING,
    SUCCEEDED,
    TOKEN_VARIABLE,
    Kubeflow,
    KubeflowDownError,
    Origin,
    RefusedError,
    Version,
)

_DIRTY = "-dirty"
_PIPELINES = {Graph.TRAINING: PIPELINE, Graph.SCORING: SCORING}
_KUBERNETES_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Server:
    """Where Kubeflow Pipelines is: address of its API, the profile's namespace, the graph meant."""

    host: str
    namespace: str
    graph: Graph = Graph.TRAINING


def upload(server: Server, version: str, console: Console) -> None:
    """Upload the pipeline as a version, by default named by the commit, unless it is there."""
    with _connected(server, console) as kubeflow:
        _uploaded(kubeflow, server.graph, version, console)


def schedule(
    server: Server,
    version: str,
    name: str,
    cron: str,
    parameters: Mapping[str, Any],
    console: Console,
) -> None:
    """Upload the version and let it run by a cron expression in UTC, as the only one of a name."""
    with _connected(server, console) as kubeflow:
        uploaded = _uploaded(kubeflow, server.graph, version, console)
        changed = kubeflow.schedule(name, cron, uploaded, parameters)
        console.print(f"schedule {name}: {cron} UTC, {'set' if changed else 'was so already'}")


def unschedule(server: Server, name: str, console: Console) -> None:
    """Take a schedule away, if it is there."""
    with _connected(server, console) as kubeflow:
        console.print(f"schedule {name}: {kubeflow.unschedule(name)}")


def run(
    server: Server,
    version: str,
    name: str,
    parameters: Mapping[str, Any],
    seconds: float,
    console: Console,
) -> None:
    """Upload the version, run it once, and wait.

    Args:
        server: where.
        version: its name; empty for the commit.
        name: of the run; one of that name that is there is waited for instead.
        parameters: of the run.
        seconds: to wait; 0: only start it.
        console: for what the user is told.

    Raises:
        SystemExit: the run failed, was cancelled or skipped, or goes on when the time is up.
    """
    with _connected(server, console) as kubeflow:
        uploaded = _uploaded(kubeflow, server.graph, version, console)
        person = {"person": who()} if server.graph is Graph.TRAINING else {}
        run_id = kubeflow.start(name, uploaded, {**parameters, **person})
        console.print(f"run {name}: {kubeflow.host}/#/runs/details/{run_id}", soft_wrap=True)
        if not seconds:
            return
        seen = kubeflow.wait(run_id, seconds, console.print)
        if not seen.final:
            console.print(
                f"run {name} is {seen.state} after {seconds:.0f} s and goes on; "
                f"end it with: toolwear kfp terminate {name}"
            )
            sys.exit(EXIT_FAILURE)
        console.print(f"run {name}: {seen.state} {seen.error}".strip())
        if seen.state != SUCCEEDED:
            sys.exit(EXIT_FAILURE)


def terminate(server: Server, name: str, seconds: float, console: Console) -> None:
    """End a run, and wait until it has ended; one that has ended before stays as it is.

    Args:
        server: where.
        name: of the run, or its id.
        seconds: to wait.
        console: for what the user is told.

    Raises:
        ToolwearError: there is no such run.
        SystemExit: it has not ended when the time is up.
    """
    with _connected(server, console) as kubeflow:
        run_id = kubeflow.find(name) or name
        try:
            seen = kubeflow.look(run_id)
        except RefusedError:
            raise ToolwearError(
                f"There is no run {name} on {kubeflow.host}; give its name or its id."
            ) from None
        if seen.final:
            console.print(f"run {name} had ended before: {seen.state}")
            return
        kubeflow.cancel(run_id)
        seen = kubeflow.wait(run_id, seconds, console.print)
        console.print(f"run {name}: {seen.state}")
        if not seen.final:
            sys.exit(EXIT_FAILURE)


def _uploaded(kubeflow: Kubeflow, graph: Graph, version: str, console: Console) -> Version:
    """Return the version on the server."""
    name = version or _clean_commit()
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / f"{graph}.yaml"
        digest = compile_graph(graph, package)
        uploaded = kubeflow.upload(package, name, Origin(commit(), digest))
    what = "uploaded" if uploaded.made else "was there already"
    console.print(f"version {name}: {what}, graph {digest[:12]}")
    return uploaded


@contextmanager
def _connected(server: Server, console: Console) -> Iterator[Kubeflow]:
    if not server.host:
        raise ToolwearError(
            f"Give the address of Kubeflow Pipelines with --kfp-host or {HOST_VARIABLE}."
        )
    try:
        # The token comes by the environment alone: everybody can read a command line.
        token = os.environ.get(TOKEN_VARIABLE, "")
        yield Kubeflow(server.host, token, server.namespace, _PIPELINES[server.graph])
    except KubeflowDownError as error:
        console.print(f"{error}; try again.", soft_wrap=True)
        sys.exit(EXIT_FAILURE)


def compile_for_kubernetes(output: Path, version: str, namespace: str) -> str:
    """Write the Pipeline and PipelineVersion resources, for `kubectl apply` and GitOps.

    Args:
        output: the file to write.
        version: its name; empty for the commit.
        namespace: of Kubeflow Pipelines.

    Returns:
        The version's name.

    Raises:
        ToolwearError: the commit does not name the graph, or a name is none for Kubernetes.
    """
    # Resources have one name in a namespace, so that the version's tells the pipeline too.
    name = version or f"{PIPELINE}-{_clean_commit()}"
    for given in (name, namespace):
        if not _KUBERNETES_NAME.fullmatch(given):
            raise ToolwearError(
                f"'{given}' is no name for Kubernetes; take lower case letters, digits and dashes, "
                "at most 63."
            )
    from kfp import compiler
    from kfp.compiler.compiler_utils import KubernetesManifestOptions

    from pipelines.training import training

    output.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(
        training,
        str(output),
        kubernetes_manifest_format=True,
        kubernetes_manifest_options=KubernetesManifestOptions(
            pipeline_name=PIPELINE,
            pipeline_version_name=name,
            namespace=namespace,
            include_pipeline_manifest=True,
        ),
    )
    return name


def _clean_commit() -> str:
    at = commit()
    if at == UNKNOWN or at.endswith(_DIRTY):
        raise ToolwearError(
            f"The commit is {at}, which does not name what would be released; commit the changes, "
            "or give a name with --version."
        )
    return at
