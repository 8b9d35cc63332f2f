"""`toolwear audit`: whether the audit log is what was written, all of it in a file, going on."""

from __future__ import annotations

import json
import sys

import typer

from toolwear.cli.options import (
    DEFAULT_HOME,
    ExistingHomeOption,
    JsonOption,
    PersonOption,
    WhyOption,
    console,
)
from toolwear.cli.plain import print_json
from toolwear.common.errors import EXIT_FAILURE
from toolwear.release.sealed_log import Log
from toolwear.workspace import seal
from toolwear.workspace.home import Home

app = typer.Typer(
    no_args_is_help=True,
    help="Check the audit log and export it. Each entry is sealed, and so is their number, with a "
    "key that does not lie in the home.\n\nExample: `toolwear audit verify`",
)


@app.command()
def verify(home: ExistingHomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Tell how many entries there are, which key sealed them, and what is wrong; exit 1 if it is.

    Example: `toolwear audit verify`
    """
    from toolwear.release import audit_log

    at_home = Home.at(home)
    log = audit_log.read(at_home)
    fault = audit_log.sentence(at_home, log)
    if as_json:
        print_json({"entries": log.count, "head": log.head, "key": log.key, "fault": fault})
    else:
        _print_end(log)
        console.print(fault or "every seal fits, and nothing is missing", soft_wrap=True)
    if log.changed:
        sys.exit(EXIT_FAILURE)


@app.command()
def export(home: ExistingHomeOption = DEFAULT_HOME) -> None:
    """Print every entry as a line of JSON, the oldest first; exit 1 if the log was changed.

    Example: `toolwear audit export > audit.jsonl`
    """
    from toolwear.release import audit_log

    at_home = Home.at(home)
    log = audit_log.read(at_home)
    for entry in log.entries:
        print(json.dumps(entry, sort_keys=True))
    fault = audit_log.sentence(at_home, log)
    if fault:
        print(f"toolwear: {fault}", file=sys.stderr)
    if log.changed:
        sys.exit(EXIT_FAILURE)


@app.command()
def accept(
    why: WhyOption, home: ExistingHomeOption = DEFAULT_HOME, _person: PersonOption = ""
) -> None:
    """Go on from a log that was changed, or sealed elsewhere; what was found is put on it.

    Example: `toolwear audit accept --why "the disk was restored by hand" --as "Ada Lovelace"`
    """
    from toolwear.common.person import who
    from toolwear.release import audit_log
    from toolwear.release.moves import locked

    at_home = Home.at(home)
    with locked(at_home):
        entry = audit_log.accept(at_home, why, who())
    console.print(f"accepted: {entry['found']}", soft_wrap=True)


def _print_end(log: Log) -> None:
    told = "no key" if not log.key else f"key {log.key}"
    if log.key and log.key not in seal.known():
        told += ", which is not here"
    entries = "1 entry" if log.count == 1 else f"{log.count} entries"
    console.print(f"{entries}, head {log.head}, sealed with {told}", soft_wrap=True)
