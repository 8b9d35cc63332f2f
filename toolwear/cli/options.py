"""The options that several commands share, and what they mean."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from toolwear.cli.graph import Graph
from toolwear.cli.plain import plain_console
from toolwear.common.errors import ToolwearError
from toolwear.common.person import NAME_VARIABLE, checked
from toolwear.run.config import FAST, RunParameters, load, parsed
from toolwear.run.kubeflow import HOST_VARIABLE

# Rich folds at 80 columns where there is no terminal; a log wants whole lines.
_LOG_WIDTH = 160
console = plain_console(width=None if sys.stdout.isatty() else _LOG_WIDTH)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="TOML file; by default ./toolwear.toml if there.")
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Folder of recordings and their table; by default $TOOLWEAR_DATA, "
        "else the Kaggle data set, else the simulator.",
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="How they are to be read: a name, or a folder or file with a dataset.toml; by "
        "default the folder's own, else the mill's.",
    ),
]
TrainOnOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Folder that runs train on; by default that of the last successful `toolwear run`.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set any configuration key; repeatable."),
]
HomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="TOOLWEAR_HOME",
        help="Folder of runs, registry, feature store and model packages.",
    ),
]
DEFAULT_HOME = Path("runs")


def existing(home: Path) -> Path:
    """Return a home that is there."""
    if not home.is_dir():
        raise ToolwearError(f"There is no folder {home}; give a home with --home.")
    return home


ExistingHomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="TOOLWEAR_HOME",
        callback=existing,
        help="Folder of runs, registry, feature store and model packages.",
    ),
]
ApprovalArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="From `toolwear approvals`; or the version's number."),
]


def _named(name: str) -> str:
    """Hand a person's name on to all that is done, also in steps that are processes."""
    if checked(name):
        os.environ[NAME_VARIABLE] = checked(name)
    return name


PersonOption = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="NAME",
        envvar=NAME_VARIABLE,
        callback=_named,
        help="Your name, for the audit log; by default the one that git or the system knows.",
    ),
]
WhyOption = Annotated[str, typer.Option("--why", help="Reason, kept in the audit log.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TRIGGER_VARIABLE = "TRIGGER_URL"
TriggerOption = Annotated[
    str,
    typer.Option(
        "--url",
        envvar=TRIGGER_VARIABLE,
        help="Address of the trigger; by default that of the home's own servers.",
    ),
]
MonitorOption = Annotated[
    str,
    typer.Option(
        "--monitor-url",
        envvar="MONITOR_URL",
        help="Address of the monitor; by default that of the home's own servers.",
    ),
]
AlertmanagerOption = Annotated[
    str,
    typer.Option(
        "--alertmanager-url",
        envvar="ALERTMANAGER_URL",
        help="Address of Alertmanager; by default that of the home's own `make watch`.",
    ),
]
KUBEFLOW = "kubeflow"
KfpHostOption = Annotated[
    str,
    typer.Option("--kfp-host", envvar=HOST_VARIABLE, help="Address of Kubeflow Pipelines' API."),
]
GraphOption = Annotated[
    Graph, typer.Option("--graph", help="The one that trains, or the one that scores.")
]
VersionOption = Annotated[
    str, typer.Option("--version", help="Name of the pipeline's version; by default the commit.")
]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", help="Namespace of Kubeflow Pipelines, or of the profile.")
]


def parameters_of(
    config: Path | None,
    data: str | None,
    settings: list[str] | None,
    *,
    fast: bool = False,
    dataset: str | None = None,
) -> RunParameters:
    """Return the parameters of a run, from the file, the environment and the options."""
    given = {} if dataset is None else {"dataset": dataset}
    return load(config, **(given | overrides_of(data, settings, fast=fast)))


def overrides_of(
    data: str | None, settings: list[str] | None, *, fast: bool = False
) -> dict[str, Any]:
    """Return what the options say of a run's parameters."""
    given = {} if data is None else {"data": data}
    return {**given, **(FAST if fast else {}), **parsed(settings or [])}
