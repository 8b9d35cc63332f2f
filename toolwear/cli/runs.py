"""`toolwear runs`: list the runs of a home, show one, compare some, cancel one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from toolwear.cli.options import (
    DEFAULT_HOME,
    ExistingHomeOption,
    JsonOption,
    PersonOption,
    TriggerOption,
    console,
)
from toolwear.cli.plain import print_json
from toolwear.common import words
from toolwear.common.errors import ToolwearError
from toolwear.common.states import ENDED
from toolwear.run.comparison import FIGURES, differing, text, told
from toolwear.run.run_folder import LATEST
from toolwear.run.runs import Run, left_out
from toolwear.run.runs import run as find
from toolwear.run.runs import runs as find_all
from toolwear.workspace.home import Home

app = typer.Typer(
    no_args_is_help=True,
    help="List the runs of a home, show one, compare some, cancel one.\n\n"
    "Example: `toolwear runs list`",
)
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="From `toolwear runs list`; or 'latest'.")
]
_MOST = 8  # beside each other


@app.command("list")
def list_runs(
    home: ExistingHomeOption = DEFAULT_HOME,
    most: Annotated[int, typer.Option("--most", min=1, help="How many, the newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the runs, the newest first: why each was started, its state and decision.

    Example: `toolwear runs list --most 50`
    """
    at_home = Home.at(home)
    found, broken = find_all(at_home)[:most], left_out(at_home)
    if as_json:
        print_json({"runs": [told(run) for run in found], "left_out": broken})
        return
    if not found:
        console.print(f"There is no run in {home} yet; start one: toolwear run.", soft_wrap=True)
    else:
        headings = ("run", "cause", "state", "decision", "version", "known runs", "seconds")
        table = Table(*headings)
        table.columns[0].no_wrap = True  # to be copied
        for run in found:
            row = run.row()
            figures = [text(FIGURES[name], run.summary) for name in ("accuracy", "seconds")]
            known = [str(row.get(name) or "") for name in ("cause", "state", "decision", "version")]
            table.add_row(run.name, *known, *("" if one == "n/a" else one for one in figures))
        console.print(table)
    for name, fault in broken.items():
        console.print(f"{name} is left out: {fault}", soft_wrap=True)


@app.command()
def show(
    name: NameArgument, home: ExistingHomeOption = DEFAULT_HOME, as_json: JsonOption = False
) -> None:
    """Show a run: its decision, headline figures, steps and settings.

    Example: `toolwear runs show latest`
    """
    run = _run(home, name)
    steps = run.steps()
    if as_json:
        print_json({**told(run), "steps": [vars(step) for step in steps.values()]})
        return
    _print_table(_rows([run]), [run])
    if steps:
        table = Table("step", "state", "seconds", "reason")
        for step in steps.values():
            took = "" if step.seconds is None else f"{step.seconds:.1f}"
            table.add_row(step.name, step.state, took, step.reason)
        console.print(table)
    settings = ", ".join(f"{key}={value}" for key, value in sorted(run.arguments.items()))
    console.print(f"settings: {settings}", soft_wrap=True)
    if run.page is not None:
        console.print(f"report: {run.page}", soft_wrap=True)


@app.command()
def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME NAME...", help="From `toolwear runs list`.")
    ],
    home: ExistingHomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show runs side by side: decisions, headline figures, and the settings that differ.

    Example: `toolwear runs compare 20261126T030000Z-3f2b8c latest`
    """
    if not 2 <= len(names) <= _MOST:
        raise ToolwearError(f"Name 2 to {_MOST} runs to compare.")
    runs = [_run(home, name) for name in names]
    settings = differing(runs)
    if as_json:
        print_json({"runs": [told(run) for run in runs], "differing": settings})
        return
    rows = _rows(runs)
    rows.update({name: [str(run.arguments.get(name, "")) for run in runs] for name in settings})
    _print_table(rows, runs)


@app.command()
def cancel(
    name: NameArgument,
    why: Annotated[str, typer.Option("--why", help="Reason, shown with the run.")],
    home: ExistingHomeOption = DEFAULT_HOME,
    url: TriggerOption = "",
    _person: PersonOption = "",
) -> None:
    """Cancel a run that the trigger has started, by its name.

    Example: `toolwear runs cancel 20261126T030000Z-3f2b8c --why "wrong folder"`
    """
    from toolwear.cli.trigger import cancel_run

    run = _run(home, name)
    if run.state in ENDED:
        raise ToolwearError(f"The run {run.name} has ended ({run.state}).")
    cancel_run(url, home, run.name, why, console)


def _run(home: Path, name: str) -> Run:
    at_home = Home.at(home)
    folder = (at_home.root / LATEST).resolve().name if name == LATEST else name
    found = find(at_home, folder)
    if found is None:
        fault = left_out(at_home).get(folder, "`toolwear runs list` names those that there are.")
        raise ToolwearError(f"There is no run {name} to be shown in {home}: {fault}")
    return found


def _rows(runs: list[Run]) -> dict[str, list[str]]:
    """Return what is told of runs by its heading, a text for each run."""
    known = [told(run) for run in runs]

    def each(key: str, say: Any = str) -> list[str]:
        return [say(one[key]) if one[key] else "" for one in known]

    return {
        "state": each("state"),
        "reason": each("reason"),
        "cause": each("cause", words.cause),
        "decision": each("decision", words.decision),
        "outcome": each("outcome", words.outcome),
        "use": each("use", words.use),
        "version": each("version"),
        **{
            figure.label: [text(figure, run.summary) for run in runs] for figure in FIGURES.values()
        },
    }


def _print_table(rows: dict[str, list[str]], runs: list[Run]) -> None:
    table = Table("", *(run.name for run in runs))
    for heading, values in rows.items():
        if any(values):
            table.add_row(heading, *values)
    console.print(table)
