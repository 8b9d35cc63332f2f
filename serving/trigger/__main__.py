"""Starts the trigger: `python -m serving.trigger --home DIR`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from serving.common.arguments import add_arguments
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.ports import TRIGGER
from toolwear.common.private import keep_private
from toolwear.run.config import parsed
from toolwear.run.kubeflow import HOST_VARIABLE, TOKEN_VARIABLE
from toolwear.workspace.home import MLFLOW_VARIABLE, Home


def main() -> int:
    """Serve until told to stop; return the exit code."""
    options = command_line().parse_args()
    keep_private(Home.at(options.home).root)
    # Imported once the options are known to be right: these take seconds.
    from serving.trigger.service import Options, serve

    try:
        command = {"run_command": tuple(shlex.split(options.run_command))}
        serve(
            Options(
                home=Home.at(options.home),
                host=options.host,
                http_port=options.http_port,
                access_log=options.access_log,
                settings=parsed(options.set),
                watch=options.watch,
                schedule=options.schedule,
                cooldown_seconds=options.cooldown_seconds,
                settle_seconds=options.settle_seconds,
                kfp_host=options.kfp_host,
                kfp_token=os.environ.get(TOKEN_VARIABLE, ""),
                mlflow_uri=os.environ.get(MLFLOW_VARIABLE, ""),
                model_name=options.model_name,
                **(command if options.run_command else {}),
            )
        )
    except ToolwearError as error:
        print(f"trigger: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the server's options."""
    parser = argparse.ArgumentParser(prog="serving.trigger", description=__doc__)
    parser.add_argument("--home", default="", help="the system's folder (default: $TOOLWEAR_HOME)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every run"
    )
    parser.add_argument(
        "--watch",
        default="",
        help="folder of recordings, or s3://bucket/prefix; new ones start a run on them",
    )
    parser.add_argument("--schedule", default="", help="cron expression in UTC, as '0 3 * * *'")
    parser.add_argument(
        "--cooldown_seconds", type=_seconds, help="for every cause (default: thresholds.yaml)"
    )
    parser.add_argument(
        "--settle_seconds", type=_seconds, help="for new recordings (default: thresholds.yaml)"
    )
    parser.add_argument(
        "--kfp_host",
        default=os.environ.get(HOST_VARIABLE, ""),
        help=f"Kubeflow Pipelines' API, to do the runs there (default: ${HOST_VARIABLE})",
    )
    parser.add_argument(
        "--run_command", default="", help="does a run here in place of `toolwear run`"
    )
    add_arguments(parser)
    parser.set_defaults(http_port=TRIGGER)
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return value


if __name__ == "__main__":
    sys.exit(main())
