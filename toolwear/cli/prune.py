"""`toolwear prune`: the command, its budgets and what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.table import Table

from toolwear.cli.options import DEFAULT_HOME, ExistingHomeOption, PersonOption, console
from toolwear.common.errors import ToolwearError
from toolwear.common.thresholds import Disk, thresholds
from toolwear.run.config import parsed
from toolwear.workspace.home import Home

if TYPE_CHECKING:
    from toolwear.cli.pruning import Plan

BudgetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KIND.LIMIT=VALUE",
        help="Another budget for this once, such as runs.gigabytes=5 or payloads.days=30; "
        "repeatable.",
    ),
]


def prune(
    home: ExistingHomeOption = DEFAULT_HOME,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be removed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    settings: BudgetsOption = None,
    _person: PersonOption = "",
) -> None:
    """Remove what is kept beyond its budget of runs, packages, payloads, reports and verdicts.

    The oldest goes first. What is in service, tried, held for approval or may be rolled back to is
    never taken, whatever the budget; a run keeps what it was asked and found. Verdicts are those
    that the home keeps of scoring jobs that have ended, with their logs; what a job has sent to a
    folder or a bucket stays. Servers may go on meanwhile.

    Example: `toolwear prune --dry-run --set runs.gigabytes=5`
    """
    from toolwear.cli.pruning import prune as work

    plans = work(Home.at(home), _budgets(settings or []), console, dry_run=dry_run)
    if as_json:
        told = {plan.used.kind.value: plan.told() for plan in plans}
        console.print_json(data={"dry_run": dry_run, "kinds": told})
    else:
        _print(plans, dry_run=dry_run)


def _budgets(settings: Sequence[str]) -> Disk:
    values: dict[str, Any] = thresholds().disk.model_dump()
    for key, value in parsed(settings).items():
        kind, _, limit = key.partition(".")
        if limit not in values.get(kind, {}):
            known = ", ".join(f"{name}.{each}" for name in values for each in values[name])
            raise ToolwearError(f"There is no budget '{key}'; there are {known}.")
        values[kind][limit] = None if value.lower() in ("none", "null") else value
    try:
        return Disk.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ToolwearError(
            f"The budget {key} has to be a number from 0 on, or none for no limit, not "
            f"{first['input']!r}."
        ) from None


def _print(plans: Sequence[Plan], *, dry_run: bool) -> None:
    from toolwear.release import room

    table = Table()
    for heading in ("kind", "there is", "there may be", "would free" if dry_run else "freed"):
        table.add_column(heading)
    for plan in plans:
        budget = plan.used.budget
        size = "any size" if budget.gigabytes is None else room.size(budget.bytes)
        days = "" if budget.days is None else f", {budget.days:g} days"
        freed = f"{room.size(plan.freed)} ({len(plan.gone)})" if plan.gone else "nothing"
        table.add_row(plan.used.kind, room.size(plan.used.bytes), f"{size}{days}", freed)
    console.print(table)
    for plan in plans:
        for name, why in plan.kept.items():
            console.print(f"{plan.used.kind}: {room.shown(name)} stays: {why}", soft_wrap=True)
