"""Starts the front: `python -m serving.front --home DIR --transformer_url URL --explainer_url URL`.

It stands before the champion's servers and, while a rollout is under way, the candidate's.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys

from serving.common.arguments import LOOPBACK, add_arguments
from serving.front import metrics
from serving.front.app import application
from serving.front.keeper import Keeper
from serving.front.tracks import EXPLAINER, TRANSFORMER, Track
from serving.http.gate import Gate
from serving.http.server import http_server
from toolwear.common import ports
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError
from toolwear.common.lock import exclusive
from toolwear.common.private import keep_private
from toolwear.release.rollout import CANDIDATE, STABLE
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Tokens

_KEEP_ALIVE_SECONDS = 65
_LOCK_SECONDS = 30.0  # longer than an earlier front takes to end


def main() -> int:
    """Serve until told to stop; return the exit code."""
    options = _parser().parse_args()
    home = Home.at(options.home)
    keep_private(home.root)
    if not home.root.is_dir():
        print(f"front: There is no folder {home.root}; give the home of a run.", file=sys.stderr)
        return EXIT_USAGE
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stable = Track(STABLE, {TRANSFORMER: options.transformer_url, EXPLAINER: options.explainer_url})
    candidate = Track(
        CANDIDATE,
        {
            role: url
            for role, url in (
                (TRANSFORMER, options.candidate_transformer_url),
                (EXPLAINER, options.candidate_explainer_url),
            )
            if url
        },
    )
    metrics.prepare()
    keeper = Keeper(home, options.model_name, candidate)
    failures: list[int] = []

    def failed() -> None:
        failures.append(EXIT_FAILURE)
        signal.raise_signal(signal.SIGTERM)

    server = http_server(
        application(keeper, stable, candidate, Gate(Tokens(home)), failed),
        options.host,
        options.http_port,
        access_log=options.access_log,
        keep_alive_seconds=_KEEP_ALIVE_SECONDS,
    )
    try:
        # Two would judge the same candidate, each by half of what there is to see.
        with exclusive(home.lock("front"), "dividing the traffic of this home", _LOCK_SECONDS):
            server.run()
    except ToolwearError as error:
        print(f"front: {error}", file=sys.stderr)
        return EXIT_USAGE
    return failures[0] if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="serving.front", description=__doc__)
    parser.add_argument("--home", default="", help="the system's folder (default: $TOOLWEAR_HOME)")
    for name, port in ((TRANSFORMER, ports.TRANSFORMER), (EXPLAINER, ports.EXPLAINER)):
        variable = f"{name.upper()}_URL"
        parser.add_argument(
            f"--{name}_url",
            default=os.environ.get(variable) or f"http://{LOOPBACK}:{port}",
            help=f"the champion's (default: ${variable})",
        )
        parser.add_argument(
            f"--candidate_{name}_url",
            default=os.environ.get(f"CANDIDATE_{variable}") or "",
            help=f"the candidate's (default: $CANDIDATE_{variable}, else there is none)",
        )
    add_arguments(parser)
    parser.set_defaults(http_port=ports.FRONT)
    return parser


if __name__ == "__main__":
    sys.exit(main())
