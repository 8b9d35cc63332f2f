"""The command line `toolwear`. Each command is a few lines over a function that does the work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from toolwear.cli.audit import app as audit_app
from toolwear.cli.containers import Runner
from toolwear.cli.dataset import app as dataset_app
from toolwear.cli.graph import Graph, compile_graph
from toolwear.cli.kfp_commands import app as kfp_app
from toolwear.cli.options import (
    DEFAULT_HOME,
    KUBEFLOW,
    AlertmanagerOption,
    ApprovalArgument,
    ConfigOption,
    DataOption,
    DatasetOption,
    ExistingHomeOption,
    GraphOption,
    HomeOption,
    JsonOption,
    KfpHostOption,
    MonitorOption,
    NamespaceOption,
    PersonOption,
    SetOption,
    TrainOnOption,
    TriggerOption,
    VersionOption,
    WhyOption,
    console,
    existing,
    overrides_of,
    parameters_of,
)
from toolwear.cli.plain import print_json
from toolwear.cli.prune import prune
from toolwear.cli.runs import app as runs_app
from toolwear.cli.tokens import app as tokens_app
from toolwear.common.disk import no_room
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.ports import MLFLOW_UI, TRANSFORMER, TRIGGER
from toolwear.common.private import keep_private
from toolwear.dataset.contract import DataSet
from toolwear.run.config import RunParameters
from toolwear.workspace.home import Home

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Tell from a machine's own telemetry whether its tool is worn.\n\n"
    "Start with `toolwear run`, then open the report that it names. "
    "`toolwear data` looks at recordings without training on them.",
)
app.add_typer(runs_app, name="runs")
app.add_typer(kfp_app, name="kfp")
app.add_typer(audit_app, name="audit")
app.add_typer(tokens_app, name="tokens")
app.add_typer(dataset_app, name="dataset")
app.command()(prune)


def _print_version(wanted: bool) -> None:
    if wanted:
        from toolwear.cli.provenance import commit, version

        console.print(f"toolwear {version()} (commit {commit()})")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show version and commit."
        ),
    ] = False,
) -> None:
    """Do what all commands share: nothing but to tell the version."""


@app.command()
def run(
    data: DataOption = None,
    dataset: DatasetOption = None,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Everything real, but with small budgets; --set still wins."),
    ] = False,
    config: ConfigOption = None,
    settings: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Run every step again instead of using the cache.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run; by default a new one.")
    ] = None,
    runner: Annotated[
        Runner,
        typer.Option(
            "--runner", help="Steps as processes, or as containers of the images of `make images`."
        ),
    ] = Runner.SUBPROCESS,
    _person: PersonOption = "",
) -> None:
    """Run the training pipeline here: no server, and no Docker unless asked for.

    Takes the telemetry through validation, features, AutoML, evaluation and explanation to a
    registered model, decides what it may be used for, and leaves one report to open. Steps whose
    inputs and code did not change come from the cache; decisions never do.

    Example: `toolwear run --data recordings --set search_seconds=600`
    """
    from toolwear.cli.local_run import run_locally

    parameters = parameters_of(config, data, settings, fast=fast, dataset=dataset)
    run_locally(parameters, home, console, refresh=refresh, name=name, runner=runner)


@app.command("compile")
def compile_pipeline(
    output: Annotated[Path, typer.Argument(help="The file to write.")] = Path("pipeline.yaml"),
    kubernetes: Annotated[
        bool,
        typer.Option("--kubernetes", help="As Pipeline and PipelineVersion resources, for GitOps."),
    ] = False,
    version: VersionOption = "",
    namespace: NamespaceOption = KUBEFLOW,
    graph: GraphOption = Graph.TRAINING,
) -> None:
    """Compile the pipeline to the file that Kubeflow Pipelines takes.

    Example: `toolwear compile build/training.yaml`
    """
    if kubernetes:
        if graph is not Graph.TRAINING:
            raise ToolwearError("Only the graph that trains is released as resources.")
        from toolwear.cli.kubeflow import compile_for_kubernetes

        name = compile_for_kubernetes(output, version, namespace)
        console.print(f"{output} holds the version {name}", soft_wrap=True)
        return
    digest = compile_graph(graph, output)
    console.print(f"{output} holds the graph {digest[:12]}")


@app.command()
def data(
    data: DataOption = None,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    write_dataset: Annotated[
        Path | None,
        typer.Option(
            "--write-dataset",
            metavar="FILE",
            help="Where columns have other names: write the map that is proposed to a new "
            "dataset.toml.",
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of dataset.toml and stop.")
    ] = False,
) -> None:
    """Inspect recordings without training: how they are written, runs, missing numbers, quirks.

    Example: `toolwear data --data recordings`
    """
    if schema:
        console.print_json(data=DataSet.model_json_schema())
        return
    from toolwear.cli.inspect_data import inspect

    inspect(parameters_of(config, data, None, dataset=dataset), console, write_dataset)


@app.command()
def score(
    paths: Annotated[
        list[str],
        typer.Argument(help="Recordings: files, folders, or patterns such as 'shift/*.csv'."),
    ],
    settings: Annotated[
        str,
        typer.Option(
            "--settings",
            metavar="feedrate=...,clamp_pressure=...",
            help="Settings of all of them, mm/s and bar; by default as in their table of runs.",
        ),
    ] = "",
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            help="How they are to be read: a name, or a folder or file with a dataset.toml; by "
            "default the folder's own, else that of the last training.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a recording, as they come.")
    ] = False,
    table: Annotated[
        Path | None, typer.Option("--csv", help="Write the verdicts to this file, too.")
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option("--rows", help="Write the answer to each row to this .csv or .parquet file."),
    ] = None,
    url: Annotated[
        str,
        typer.Option(
            "--url", help="Ask the service here, not the champion; of a job: the trigger."
        ),
    ] = "",
    job: Annotated[
        bool, typer.Option("--job", help="Have the trigger do it, of one folder or s3://bucket/...")
    ] = False,
    target: Annotated[
        str, typer.Option("--target", help="Folder, or s3://bucket/..., for the job's verdicts.")
    ] = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Tell of each recording whether its tool is worn, by the champion here or by a service.

    Reads CSV in any usual form, JSON lines and Parquet, packed or not. A recording that can't be
    read is told at the end, with exit code 1; the others are scored all the same.

    Example: `toolwear score night_shift/ --settings feedrate=6,clamp_pressure=4`
    """
    if job or target:
        from toolwear.cli.trigger import score as score_by_job

        if len(paths) != 1 or not job or as_json or table or rows:
            raise ToolwearError(
                "A job takes one folder or s3://bucket/prefix, --settings, --dataset and --target: "
                "toolwear score --job night_shift."
            )
        score_by_job(url, home, paths[0], settings, dataset or "", target, console)
        return
    from toolwear.cli.score import score as score_recordings

    score_recordings(
        Home.at(home if url else existing(home)),
        paths,
        console,
        dataset=dataset or "",
        settings=settings,
        as_json=as_json,
        table=table,
        rows=rows,
        url=url,
    )


@app.command()
def simulate(
    output: Annotated[Path, typer.Argument(help="Folder to fill with recordings.")] = Path(
        "recordings"
    ),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A switch of the simulator; repeatable."),
    ] = None,
    list_settings: Annotated[
        bool, typer.Option("--list", help="Print the simulator's settings and stop.")
    ] = False,
) -> None:
    """Make telemetry like the mill's from physics and fitted constants, of any size, by seed.

    Example: `toolwear simulate recordings --set seed=7 --set z_leak=0 --set shuffle=false`
    """
    from toolwear.cli.inspect_data import simulate_recordings

    simulate_recordings(output, settings or [], console, only_list=list_settings)


@app.command()
def report(
    home: ExistingHomeOption = DEFAULT_HOME,
    details: Annotated[
        bool, typer.Option("--details", help="Also every model's figures, findings and reasons.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the result of the latest run and the path of its report.

    Example: `toolwear report --details`
    """
    from toolwear.cli.summary import latest_summary, print_latest

    if as_json:
        print_json(latest_summary(home))
    else:
        print_latest(home, console, details=details)


@app.command()
def status(
    home: ExistingHomeOption = DEFAULT_HOME,
    monitor_url: MonitorOption = "",
    alertmanager_url: AlertmanagerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show champion, open alerts, drift, freshness and the last runs on one screen.

    Example: `toolwear status --json`
    """
    from toolwear.cli.status import print_status
    from toolwear.cli.status_json import state_of

    if as_json:
        print_json(state_of(home, monitor_url, alertmanager_url))
    else:
        print_status(home, monitor_url, alertmanager_url, console)


@app.command()
def rollback(
    home: ExistingHomeOption = DEFAULT_HOME,
    why: Annotated[str, typer.Option("--why", help="Reason, kept in the audit log.")] = "by hand",
    _person: PersonOption = "",
) -> None:
    """Roll back the last release, in seconds.

    A rollout in progress ends and the champion stays; else the previous champion is restored.

    Example: `toolwear rollback --why "too many parts were called worn"`
    """
    from toolwear.cli.summary import print_rollback

    print_rollback(home, why, console)


@app.command("reconcile")
def reconcile_registry(
    why: WhyOption,
    home: ExistingHomeOption = DEFAULT_HOME,
    serve_registered: Annotated[
        bool,
        typer.Option("--serve-registered", help="Serve the registry's champion instead."),
    ] = False,
) -> None:
    """Make the registry's champion the one that is served, after MLflow was changed by hand.

    A version that was deleted is registered again from its package. `toolwear status` tells whether
    the two differ.

    Example: `toolwear reconcile --why "the alias was moved by mistake"`
    """
    from toolwear.cli.approvals import print_reconciled

    print_reconciled(home, why, serve_registered, console)


@app.command()
def approvals(home: ExistingHomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List promotions held for approval, and the last decisions.

    Example: `toolwear approvals --json`
    """
    from toolwear.cli.approvals import approvals_of, print_approvals

    if as_json:
        print_json(approvals_of(home))
    else:
        print_approvals(home, console)


@app.command()
def allow(
    key: ApprovalArgument,
    why: WhyOption,
    home: ExistingHomeOption = DEFAULT_HOME,
    _person: PersonOption = "",
) -> None:
    """Approve a version that was held: it is released at once or as its run's rollout says.

    Example: `toolwear allow 7 --why "the errors are all on run 12, which is known"`
    """
    from toolwear.cli.approvals import print_allow

    print_allow(home, key, why, console)


@app.command()
def refuse(
    key: ApprovalArgument,
    why: WhyOption,
    home: ExistingHomeOption = DEFAULT_HOME,
    _person: PersonOption = "",
) -> None:
    """Reject a version that was held; the champion stays.

    Example: `toolwear refuse 7 --why "the recordings of run 12 are faulty"`
    """
    from toolwear.cli.approvals import print_refuse

    print_refuse(home, key, why, console)


@app.command("tool-changed")
def tool_changed(
    machine: Annotated[str, typer.Argument(help="Its name, as clients send it in x-machine-id.")],
    home: ExistingHomeOption = DEFAULT_HOME,
) -> None:
    """Say that a machine has another tool: the alert that its tool is worn ends.

    Example: `toolwear tool-changed mill-3`
    """
    from toolwear.cli.tool_changed import tool_changed as work

    work(home, machine, console)


@app.command()
def vouch(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs, or 'all'.")],
    why: Annotated[str, typer.Option("--why", help="How you know, kept in the audit log.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of recordings that has them.")],
    home: ExistingHomeOption = DEFAULT_HOME,
    _person: PersonOption = "",
) -> None:
    """Record that recordings and labels of new runs were checked, so that they may be trained on.

    It holds for these recordings with these labels, in every run to come.

    Example: `toolwear vouch 19 20 --data recordings --why "measured the flank wear"`
    """
    from toolwear.cli.vouch import vouch as work

    work(home, data, runs, why, console)


@app.command()
def serve(
    home: ExistingHomeOption = DEFAULT_HOME,
    port: Annotated[
        int,
        typer.Option(
            "--port", min=1, max=65000, help="Port of the transformer; the others follow it."
        ),
    ] = TRANSFORMER,
    data: TrainOnOption = None,
    settings: SetOption = None,
    trigger: Annotated[
        bool, typer.Option("--trigger/--no-trigger", help="Whether runs can be asked for here.")
    ] = True,
) -> None:
    """Serve the champion here until Ctrl-C: model servers, trigger and console on loopback.

    They follow promotions and rollbacks. --data and --set are for the runs that its trigger starts.

    Example: `toolwear serve --port 9000 --set rollout=canary`
    """
    from toolwear.cli.serve import serve as work

    work(home, port, overrides_of(data, settings), trigger, console)


@app.command()
def ui(
    home: ExistingHomeOption = DEFAULT_HOME,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0: one that is free.")
    ] = MLFLOW_UI,
) -> None:
    """Open MLflow's pages on the home's runs and models, on loopback until Ctrl-C.

    They show all and change nothing.

    Example: `toolwear ui --port 0`
    """
    from toolwear.cli.ui import show

    show(home, port, console)


@app.command()
def receipt(
    receipt_id: Annotated[
        str, typer.Argument(metavar="ID", help="From an answer's receipt, or an x-request-id.")
    ],
    home: ExistingHomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show the record of an answer: model, features, verdict, and the label if known.

    Example: `toolwear receipt 3f2b8c1e-0d7a-4b8e-9a55-1f0c2d3e4f5a`
    """
    from toolwear.cli.receipt import show

    show(home, receipt_id, console, as_json=as_json)


@app.command()
def trigger(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = TRIGGER,
    watch: Annotated[
        str,
        typer.Option(
            "--watch",
            help="Folder of recordings, or s3://bucket/prefix; new ones start a run on them.",
        ),
    ] = "",
    schedule: Annotated[
        str, typer.Option("--schedule", metavar="CRON", help="In UTC, such as '0 3 * * *'.")
    ] = "",
    data: TrainOnOption = None,
    fast: Annotated[bool, typer.Option("--fast", help="Runs with small budgets.")] = False,
    settings: SetOption = None,
    kfp_host: KfpHostOption = "",
) -> None:
    """Start runs until Ctrl-C: by hand, on a schedule, for new data, for alerts.

    Each request gets one run, one at a time, however often the trigger itself is restarted.

    Example: `toolwear trigger --watch recordings --schedule '0 3 * * *'`
    """
    from toolwear.cli.trigger import serve_here

    given = overrides_of(data, settings, fast=fast)
    serve_here(home, port, watch, schedule, given, kfp_host)


@app.command()
def retrain(
    home: ExistingHomeOption = DEFAULT_HOME,
    why: Annotated[str, typer.Option("--why", help="Reason, shown with the run.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Print its steps until it ends; exit 1 if it fails.")
    ] = False,
    data: TrainOnOption = None,
    fast: Annotated[bool, typer.Option("--fast", help="A run with small budgets.")] = False,
    settings: SetOption = None,
    url: TriggerOption = "",
    _person: PersonOption = "",
) -> None:
    """Request a run from the trigger, with the operator's token of the home or the environment.

    Example: `toolwear retrain --why "the spindle was repaired" --wait`
    """
    from toolwear.cli.trigger import ask

    ask(url, home, why, overrides_of(data, settings, fast=fast), wait, console)


@app.command()
def cancel(
    cause: Annotated[str, typer.Argument(metavar="ID", help="From `toolwear retrain`.")],
    why: Annotated[str, typer.Option("--why", help="Reason, shown with the run.")],
    home: ExistingHomeOption = DEFAULT_HOME,
    url: TriggerOption = "",
    _person: PersonOption = "",
) -> None:
    """Cancel a run, whether it waits or is running.

    Example: `toolwear cancel 7 --why "wrong folder"`
    """
    from toolwear.cli.trigger import cancel as work

    work(url, home, cause, why, console)


@app.command()
def backup(
    file: Annotated[
        Path | None, typer.Argument(help="The file to write, such as home.tar.gz.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    key: Annotated[
        bool, typer.Option("--key", help="Print the key that seals, to be kept elsewhere, instead.")
    ] = False,
) -> None:
    """Back up registry, features, packages, audit log and queues to one sealed file, online.

    Example: `toolwear backup home.tar.gz`
    """
    from toolwear.cli import backup as commands

    if key:
        commands.show_key()
    elif file is None:
        raise ToolwearError("Name the file to write, such as home.tar.gz, or ask for --key.")
    else:
        commands.backup(Home.at(existing(home)), file, console)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `toolwear backup` wrote.")],
    home: HomeOption = DEFAULT_HOME,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Move existing content aside instead of refusing.")
    ] = False,
    unsealed: Annotated[
        bool,
        typer.Option("--unsealed", help="Restore what no key that is here has sealed, too."),
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", help="A file with the key of `toolwear backup --key`."),
    ] = None,
    most_mb: Annotated[
        int | None,
        typer.Option(
            "--most-mb",
            min=1,
            help="What it may unpack to, in MB; by default 20 times the file's size and 67 MB.",
        ),
    ] = None,
) -> None:
    """Restore a home from a backup, after its seal and every byte of it were checked.

    Example: `toolwear restore home.tar.gz`
    """
    from toolwear.cli.backup import restore as work
    from toolwear.workspace import seal

    if key_file is not None:
        seal.read_file(key_file)
    most = None if most_mb is None else most_mb * 1_000_000
    work(Home.at(home), file, console, overwrite=overwrite, unsealed=unsealed, most=most)


@app.command("config")
def show_config(
    config: ConfigOption = None,
    settings: SetOption = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of the configuration.")
    ] = False,
) -> None:
    """Print the configuration that a run would use, or its schema.

    Example: `toolwear config --set seed=3`
    """
    if schema:
        console.print_json(data=RunParameters.model_json_schema())
    else:
        console.print_json(data=parameters_of(config, None, settings).model_dump())


def main() -> None:
    """Run the command line: one sentence and exit code 2 for what the user can mend."""
    keep_private()
    try:
        app()
    except Exception as error:
        sentence = str(error) if isinstance(error, ToolwearError) else no_room(error)
        if not sentence:
            raise
        print(f"toolwear: {sentence}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
