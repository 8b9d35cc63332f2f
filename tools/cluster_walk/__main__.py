"""`python -m tools.cluster_walk FILE`: see the Makefile."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.cluster_walk.memory import watched
from tools.cluster_walk.site import Site
from tools.cluster_walk.stages import STAGES
from tools.cluster_walk.walk import FAILED, Journal, memory_table, table, walk
from tools.kind.programs import CommandFailedError, Programs, require
from tools.kind.tries import Settings
from tools.rendered import OVERLAYS
from toolwear.cli.plain import plain_console
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError
from toolwear.common.fingerprint import ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    """Go on with the walk and print its tables; return the exit code."""
    options = _parser().parse_args(arguments)
    os.environ["KUBECONFIG"] = str(options.kubeconfig)
    programs = Programs()
    try:
        require("kubectl", "helm")
        journal = Journal(options.journal or _journal(programs))
        _see_that_it_is_ours(programs, journal, taken_over=options.take_over)
        journal.forget([stage.name for stage in STAGES] if options.anew else options.again)
        site = Site(Settings(programs, options.overlay), options.data, journal)
        failed = False
        with watched(programs, journal.memory):
            for outcome in walk(STAGES, site, journal):
                print(f"{outcome.stage}: {outcome.verdict} in {outcome.seconds:.0f} s", flush=True)
                failed = outcome.verdict == FAILED
        journal.keep()
    except ToolwearError as error:
        print(f"make cluster-walk: {error}", file=sys.stderr)
        return EXIT_USAGE
    except CommandFailedError as error:
        print(f"make cluster-walk: {error}", file=sys.stderr)
        return EXIT_FAILURE
    console = plain_console()
    console.print(table(STAGES, journal))
    console.print(memory_table(journal))
    print(f"kept in {journal.path}")
    return EXIT_FAILURE if failed else 0


def _journal(programs: Programs) -> Path:
    """Return the journal of this cluster, which is known by its first namespace."""
    uid = programs.kubectl(
        *("get", "namespace", "kube-system", "--output", "jsonpath={.metadata.uid}"), quiet=True
    )
    return ROOT / "build" / "cluster-walk" / f"{uid}.json"


def _see_that_it_is_ours(programs: Programs, journal: Journal, *, taken_over: bool) -> None:
    """Refuse a cluster on which somebody's system is: the walk destroys what it has made."""
    if journal.path.exists() or taken_over:
        return
    found = json.loads(programs.kubectl("get", "namespaces", "--output", "json", quiet=True))
    if any(item["metadata"]["name"] == "toolwear" for item in found["items"]):
        raise ToolwearError(
            "There is a namespace toolwear on this cluster, which no walk from here has made. "
            "The walk destroys registry, packages and audit log and restores them: give "
            'it another cluster, or ARGS="--take-over" for one that may be walked all over.'
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools.cluster_walk", description=__doc__)
    parser.add_argument("kubeconfig", type=Path, help="of the cluster; its current context")
    parser.add_argument("--data", type=Path, required=True, help="recordings and their table")
    parser.add_argument("--overlay", default="kind", choices=OVERLAYS)
    parser.add_argument("--journal", type=Path, help="file to keep outcomes in")
    names = [stage.name for stage in STAGES]
    parser.add_argument("--again", nargs="+", default=[], choices=names, help="do these again")
    parser.add_argument("--anew", action="store_true", help="do all stages again")
    parser.add_argument("--take-over", action="store_true", help="walk a system that is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
