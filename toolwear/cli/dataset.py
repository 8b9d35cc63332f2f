"""`toolwear dataset`: to bring recordings of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolwear.cli.options import DatasetOption, console, parameters_of
from toolwear.common.errors import ToolwearError
from toolwear.common.jsonfile import write_text
from toolwear.dataset import contract

app = typer.Typer(
    no_args_is_help=True,
    help="Describe recordings of your own, so that they can be read: a dataset.toml.\n\n"
    "Example: `toolwear dataset init recordings`",
)


@app.command()
def init(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder, or the file that holds all recordings.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="File to write; by default dataset.toml beside them."
        ),
    ] = None,
) -> None:
    """Look at files of any machine and write a dataset.toml that describes them, to be checked.

    What the files do not tell is listed, and stands in the file as a line to complete.

    Example: `toolwear dataset init recordings`
    """
    from toolwear.dataset.proposal import propose

    target = output or (path if path.is_dir() else path.parent) / contract.FILE
    if target.exists():
        raise ToolwearError(f"{target} is there already; name another with --output.")
    with console.status("looking at the recordings"):
        made = propose(path)
    write_text(target, made.text)
    for line in made.told:
        console.print(line, soft_wrap=True)
    for line in made.asked:
        console.print(f"to be said: {line}", style="bold red", soft_wrap=True)
    folder = path if path.is_dir() else path.parent
    given = f" --dataset {target}" if output else ""
    console.print(
        f"{target} is a proposal: check it"
        f"{', say what is asked' if made.asked else ''}, then: "
        f"toolwear dataset check {folder}{given}",
        soft_wrap=True,
    )


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the recordings.")],
    dataset: DatasetOption = None,
) -> None:
    """Read recordings by their dataset.toml as a run would, and print what they hold.

    Example: `toolwear dataset check recordings`
    """
    from toolwear.cli.inspect_data import inspect

    inspect(parameters_of(None, str(folder), None, dataset=dataset), console)
