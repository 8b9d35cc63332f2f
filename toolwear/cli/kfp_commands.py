"""`toolwear kfp`: bring the pipeline to Kubeflow Pipelines, as continuous delivery does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from toolwear.cli.graph import Graph
from toolwear.cli.options import (
    KUBEFLOW,
    ConfigOption,
    DataOption,
    GraphOption,
    KfpHostOption,
    NamespaceOption,
    SetOption,
    VersionOption,
    console,
    parameters_of,
)
from toolwear.common.errors import ToolwearError
from toolwear.run import scoring
from toolwear.run.config import parsed
from toolwear.run.run_name import new_run_name

app = typer.Typer(
    no_args_is_help=True,
    help="Bring the pipeline to Kubeflow Pipelines. Each command can be repeated: what is there "
    "already stays.\n\nExample: `toolwear kfp run --fast`",
)


@app.command()
def upload(
    host: KfpHostOption = "",
    namespace: NamespaceOption = KUBEFLOW,
    graph: GraphOption = Graph.TRAINING,
    version: VersionOption = "",
) -> None:
    """Upload the pipeline as a version named by the commit.

    Example: `toolwear kfp upload --kfp-host http://127.0.0.1:8888`
    """
    from toolwear.cli import kubeflow

    kubeflow.upload(kubeflow.Server(host, namespace, graph), version, console)


@app.command()
def schedule(
    cron: Annotated[str, typer.Argument(help="Five fields, in UTC, such as '0 3 * * *'.")],
    host: KfpHostOption = "",
    namespace: NamespaceOption = KUBEFLOW,
    graph: GraphOption = Graph.TRAINING,
    version: VersionOption = "",
    name: Annotated[str, typer.Option("--name", help="One schedule a name.")] = "toolwear",
    data: DataOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Upload the version and let it run by the clock, in place of the schedule of that name.

    Example: `toolwear kfp schedule '0 3 * * *'`
    """
    from toolwear.cli import kubeflow

    kubeflow.schedule(
        kubeflow.Server(host, namespace, graph),
        version,
        name,
        cron,
        _parameters(graph, config, data, settings, cause="schedule"),
        console,
    )


@app.command()
def unschedule(
    host: KfpHostOption = "",
    namespace: NamespaceOption = KUBEFLOW,
    graph: GraphOption = Graph.TRAINING,
    name: Annotated[str, typer.Option("--name", help="One schedule a name.")] = "toolwear",
) -> None:
    """Take the schedule of a name away.

    Example: `toolwear kfp unschedule --name nightly`
    """
    from toolwear.cli import kubeflow

    kubeflow.unschedule(kubeflow.Server(host, namespace, graph), name, console)


@app.command()
def run(
    host: KfpHostOption = "",
    namespace: NamespaceOption = KUBEFLOW,
    graph: GraphOption = Graph.TRAINING,
    version: VersionOption = "",
    name: Annotated[
        str, typer.Option("--name", help="A run of this name that is there is waited for.")
    ] = "",
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for its end; 0: not at all.")
    ] = 7200.0,
    data: DataOption = None,
    fast: Annotated[bool, typer.Option("--fast", help="Small budgets.")] = False,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Upload the version, run it and wait; the exit code is 1 unless it succeeds in time.

    Example: `toolwear kfp run --fast --wait 3600`
    """
    from toolwear.cli import kubeflow

    kubeflow.run(
        kubeflow.Server(host, namespace, graph),
        version,
        name or new_run_name(),
        _parameters(graph, config, data, settings, fast=fast),
        wait,
        console,
    )


@app.command()
def terminate(
    name: Annotated[str, typer.Argument(help="Of the run, or its id.")],
    host: KfpHostOption = "",
    namespace: NamespaceOption = KUBEFLOW,
    graph: GraphOption = Graph.TRAINING,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for its end.")] = (
        300.0
    ),
) -> None:
    """End a run; the exit code is 1 unless it has ended in time.

    Example: `toolwear kfp terminate 20261126T030000Z-3f2b8c`
    """
    from toolwear.cli import kubeflow

    kubeflow.terminate(kubeflow.Server(host, namespace, graph), name, wait, console)


def _parameters(
    graph: Graph,
    config: Path | None,
    data: str | None,
    settings: list[str] | None,
    *,
    cause: str = "",
    fast: bool = False,
) -> dict[str, Any]:
    """Return what a run of the graph is started with."""
    if graph is Graph.TRAINING:
        given = [f"cause={cause}"] if cause else []
        return parameters_of(config, data, [*given, *(settings or [])], fast=fast).model_dump()
    if fast or config:
        raise ToolwearError("--fast and --config are of runs that train; leave them out.")
    return scoring.asked({"data": data or "", **parsed(settings or [])}).model_dump()
