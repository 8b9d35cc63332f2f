"""`python -m tools.kind up|down|e2e|install`: see the Makefile."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.kind.diagnosis import diagnose
from tools.kind.programs import CommandFailedError, Programs, call, is_set, require
from tools.kind.steps import CLUSTER, CONTEXT, INSTALLS, STEPS, TRIES, print_pages
from tools.kind.tries import Settings
from tools.rendered import OVERLAYS
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError
from toolwear.dataset import contract
from toolwear.dataset.sources import run_table_file

UP, E2E = "make kind-up", "make e2e"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.work(options))
    except ToolwearError as error:
        print(f"{options.what}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except CommandFailedError as error:
        print(f"{options.what}: {error}", file=sys.stderr)
        return EXIT_FAILURE


def up(options: argparse.Namespace) -> int:
    """Make the cluster and everything in it; with --steps only these."""
    settings = Settings(Programs(CONTEXT), data=options.data, version=options.version)
    if _do(options.steps or list(STEPS), settings, UP):
        return EXIT_FAILURE
    print_pages(settings)
    return 0


def install(options: argparse.Namespace) -> int:
    """Install what an overlay needs, and it, on the cluster of kubectl's current context."""
    require("kubectl", "helm")
    command = f"make cluster-install OVERLAY={options.overlay}"
    settings = Settings(Programs(options.context), options.overlay)
    return EXIT_FAILURE if _do(options.steps or list(INSTALLS), settings, command) else 0


def down(_options: argparse.Namespace) -> int:
    """Take the cluster away, if it is there."""
    require("kind")
    call(["kind", "delete", "cluster", "--name", CLUSTER])
    return 0


def e2e(options: argparse.Namespace) -> int:
    """Run the pipeline once more and ask its model: on $KUBECONFIG's cluster, else on kind's.

    Where there is no kind cluster, everything is made in one, which is taken away again whatever
    happens. A cluster that was there keeps what it had; the run stays in its list of runs.
    """
    run_name = f"e2e-{secrets.token_hex(4)}"
    given = is_set("KUBECONFIG")
    require("kubectl")
    if not given:
        require("docker", "kind", "helm")
    context = "" if given else CONTEXT
    settings = Settings(Programs(context), "kind", options.data, run_name, options.version)
    if given or CLUSTER in call(["kind", "get", "clusters"]).split():
        return EXIT_FAILURE if _do(list(TRIES), settings, E2E) else 0
    try:
        return EXIT_FAILURE if _do(list(STEPS), settings, E2E) else 0
    finally:
        call(["kind", "delete", "cluster", "--name", CLUSTER])


def _do(names: Sequence[str], settings: Settings, command: str) -> bool:
    """Do the steps in their order and return whether one failed, after saying what is wrong."""
    for number, name in enumerate(names, start=1):
        step = STEPS[name]
        print(f"[{number}/{len(names)}] {name}: {step.__doc__}", flush=True)
        started = time.monotonic()
        try:
            step(settings)
        except CommandFailedError as error:
            print(f"{name}: {error}", file=sys.stderr)
            for line in diagnose(settings.programs):
                print(line, flush=True)
            if command != E2E:  # which has taken its cluster away
                rest = " ".join(names[number - 1 :])
                print(f'go on from here with: {command} STEPS="{rest}"', file=sys.stderr)
            return True
        print(f"    {time.monotonic() - started:.0f} s", flush=True)
    return False


def _folder(text: str) -> Path:
    path = Path(text).resolve()
    try:
        run_table_file(path, contract.resolve("", path))
    except ToolwearError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools.kind", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    make = commands.add_parser("up", help="make the cluster and everything in it")
    make.add_argument("--steps", nargs="+", choices=STEPS, help="only these, in this order")
    make.set_defaults(work=up)
    commands.add_parser("down", help="take the cluster away").set_defaults(work=down)
    other = commands.add_parser("install", help="install everything on a cluster that is there")
    other.add_argument("overlay", choices=[name for name in OVERLAYS if name != "kind"])
    other.add_argument("--steps", nargs="+", choices=INSTALLS, help="only these, in this order")
    other.add_argument("--context", default="", help="of kubeconfig; default: the current one")
    other.set_defaults(work=install)
    try_all = commands.add_parser("e2e", help="try everything")
    try_all.set_defaults(work=e2e)
    for command in (make, try_all):
        command.add_argument("--data", type=_folder, help="recordings to train on")
        command.add_argument("--version", default="", help="of the pipeline; default: the commit")
    return parser


if __name__ == "__main__":
    sys.exit(main())
