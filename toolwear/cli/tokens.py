"""`toolwear tokens`: who may label, tell of alerts, or operate."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from toolwear.cli.options import DEFAULT_HOME, ExistingHomeOption, JsonOption, console
from toolwear.cli.plain import print_json
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

app = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke tokens: who may label, tell of alerts, or operate. What is made "
    "or revoked counts at once, in running servers too.\n\nExample: `toolwear tokens list`",
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of who holds it.")]


@app.command()
def make(
    name: NameArgument,
    may: Annotated[
        Scope,
        typer.Option(
            "--may",
            help="Labels of answers; alerts, for Alertmanager; or runs, approvals and rollback.",
        ),
    ],
    home: ExistingHomeOption = DEFAULT_HOME,
) -> None:
    """Make a token and print it. It is not kept, and cannot be shown again.

    Example: `toolwear tokens make line-4 --may label`
    """
    print(Tokens(Home.at(home)).make(name, may))


@app.command("list")
def list_tokens(home: ExistingHomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the tokens: name, what each may do, when it was made.

    Example: `toolwear tokens list`
    """
    tokens = Tokens(Home.at(home)).all()
    if as_json:
        known = ("name", "may", "made")  # not its digest: nobody needs it
        print_json([{name: str(getattr(token, name)) for name in known} for token in tokens])
        return
    if not tokens:
        console.print("There are no tokens; `toolwear serve` makes its own.")
        return
    table = Table("name", "may", "made")
    for token in tokens:
        made = datetime.fromisoformat(token.made)
        table.add_row(token.name, token.may, f"{made:%Y-%m-%d %H:%M} UTC")
    console.print(table)


@app.command()
def revoke(name: NameArgument, home: ExistingHomeOption = DEFAULT_HOME) -> None:
    """Revoke a token: who holds it is refused from now on, and its sessions end.

    Example: `toolwear tokens revoke line-4`
    """
    Tokens(Home.at(home)).revoke(name)
    console.print(f"{name} is revoked.")
