"""Starts the console: `python -m serving.console --home DIR`."""

from __future__ import annotations

import argparse
import os
import sys

from serving.common.arguments import LOOPBACK, add_arguments
from toolwear.common import ports
from toolwear.common.errors import EXIT_USAGE
from toolwear.common.private import keep_private
from toolwear.workspace.home import Home


def main() -> int:
    """Serve until told to stop; return the exit code."""
    options = command_line().parse_args()
    home = Home.at(options.home)
    keep_private(home.root)
    if not home.root.is_dir():
        print(f"console: There is no folder {home.root}; give the home of a run.", file=sys.stderr)
        return EXIT_USAGE
    # Imported once the options are known to be right: these take seconds.
    from serving.console.app import serve
    from serving.console.parts import Addresses

    serve(
        home,
        Addresses(
            model=options.model_name,
            predictor=options.predictor_url.rstrip("/"),
            explainer=options.explainer_url.rstrip("/"),
            transformer=options.transformer_url.rstrip("/"),
            prometheus=options.prometheus_url.rstrip("/"),
            trigger=options.trigger_url.rstrip("/"),
            monitor=options.monitor_url.rstrip("/"),
            front=options.front_url.rstrip("/"),
            mlflow_ui=options.mlflow_ui_url.rstrip("/"),
            kfp_ui=options.kfp_ui_url.rstrip("/"),
        ),
        options.host,
        options.http_port,
        options.access_log,
    )
    return 0


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the server's options."""
    parser = argparse.ArgumentParser(prog="serving.console", description=__doc__)
    parser.add_argument("--home", default="", help="the system's folder (default: $TOOLWEAR_HOME)")
    for name, port in (
        ("predictor", ports.PREDICTOR),
        ("explainer", ports.EXPLAINER),
        ("transformer", ports.TRANSFORMER),
        ("prometheus", ports.PROMETHEUS),
        ("trigger", ports.TRIGGER),
        ("monitor", ports.MONITOR),
    ):
        variable = f"{name.upper()}_URL"
        default = os.environ.get(variable) or f"http://{LOOPBACK}:{port}"
        parser.add_argument(
            f"--{name}_url", default=default, help=f"its address (default: ${variable})"
        )
    for name, what in (
        ("front", "the front, if it divides the traffic here"),
        ("mlflow_ui", "MLflow for a browser, to link runs and versions to"),
        ("kfp_ui", "Kubeflow Pipelines for a browser, to link runs to"),
    ):
        variable = f"{name.upper()}_URL"
        default = os.environ.get(variable, "")
        parser.add_argument(f"--{name}_url", default=default, help=f"{what} (default: ${variable})")
    add_arguments(parser)
    parser.set_defaults(http_port=ports.CONSOLE)
    return parser


if __name__ == "__main__":
    sys.exit(main())
