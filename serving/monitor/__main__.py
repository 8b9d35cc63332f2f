"""Starts the monitor: it reads the payload log of a home in windows and tells what has drifted."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from serving.common.arguments import LOOPBACK
from serving.http.server import http_server
from toolwear.common import ports
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.private import keep_private
from toolwear.common.thresholds import thresholds
from toolwear.release import champion as pointer
from toolwear.workspace.home import Home

_POLL_SECONDS = 2.0


def main() -> int:
    """Serve until told to stop; return the exit code."""
    options = command_line().parse_args()
    home = Home.at(options.home).root
    keep_private(home)
    try:
        _check(home)
    except ToolwearError as error:
        print(f"monitor: {error}", file=sys.stderr)
        return EXIT_USAGE
    _serve(home, options)
    return 0


def _check(home: Path) -> None:
    """Tell now what would fail at every look."""
    if not home.is_dir():
        raise ToolwearError(f"{home} is no folder; give the system's home with --home.")
    from serving.monitor import state  # takes a second

    state.read(Home(home).monitor)
    pointer.read(home)


def _serve(home: Path, options: argparse.Namespace) -> None:
    # Imported once the home is known to be right: these take seconds.
    from starlette.applications import Starlette

    from serving.monitor.app import application
    from serving.monitor.service import Service

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    limits = thresholds().monitor
    service = Service(home, limits, thresholds().tool)

    @asynccontextmanager
    async def running(_app: Starlette) -> AsyncIterator[None]:
        service.start(options.poll_seconds)
        yield
        service.stop()

    app = application(service, limits)
    app.router.lifespan_context = running
    http_server(app, options.host, options.http_port).run()


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the server's options."""
    parser = argparse.ArgumentParser(prog="serving.monitor", description=__doc__)
    parser.add_argument("--home", default="", help="the system's folder; by default $TOOLWEAR_HOME")
    parser.add_argument("--host", default=LOOPBACK, help="address; 0.0.0.0 in a container")
    parser.add_argument("--http_port", type=int, default=ports.MONITOR)
    parser.add_argument("--model_name", help="not used: it follows whatever package answered")
    parser.add_argument("--poll_seconds", type=float, default=_POLL_SECONDS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
