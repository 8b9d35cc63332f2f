"""Starts the explainer.

`python -m serving.explainer --model_dir PACKAGE` explains one package for good;
`python -m serving.explainer --home DIR` explains the champion, whichever that is at the time, and
finds the features of runs in DIR. With both, the package is fixed and DIR serves the features.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from serving.common.arguments import add_arguments, add_follow
from toolwear.common import ports
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError
from toolwear.common.private import keep_private
from toolwear.model.package import Package, load_package
from toolwear.release import champion as pointer

MODEL_SHA256 = "MODEL_SHA256"
_log = logging.getLogger("toolwear.serving")


def main() -> int:
    """Serve until told to stop; return the exit code."""
    parser = command_line()
    options = parser.parse_args()
    keep_private(options.home)
    if options.model_dir is None and options.home is None:
        parser.error("give --model_dir or --home")
    try:
        champion, package = _chosen(options)
        # Imported once the package is known to be right: these take seconds.
        from serving.common.features import FeatureSource, Freshness
        from serving.common.outages import SENTENCES
        from serving.common.server import Serving, serve
        from serving.explainer.explained import Explained
        from serving.explainer.model import Explainer
        from serving.explainer.openapi import SCHEMA_PATH
        from toolwear.common import jsonfile

        explained = Explained.load(package, champion.version if champion else "")
    except ToolwearError as error:
        print(f"explainer: {error}", file=sys.stderr)
        return EXIT_USAGE
    envelope = jsonfile.read(Path(__file__).with_name("envelope.schema.json"))
    source = None
    if options.home is not None:
        freshness = Freshness(options.max_age_seconds, options.stale)
        source = FeatureSource(options.home, freshness, options.store_timeout_seconds)
    model = Explainer(options.model_name, explained, source, options.waiting)
    follower = None
    if champion is not None:
        home = options.home

        def swap(new: pointer.Champion) -> None:
            fresh = Explained.load(pointer.load(home, new), new.version)
            fresh.warm_up()
            model.swap(fresh)

        follower = pointer.Follower(home, champion, swap, options.follow)

    def prepare() -> None:
        model.warm_up()
        if follower is not None:
            follower.start()

    @asynccontextmanager
    async def around() -> AsyncIterator[None]:
        async with model.running(), _beside(prepare):
            yield

    serve(
        [model],
        Serving(
            "explainer",
            options.host,
            options.http_port,
            options.grpc_port,
            options.access_log,
            failures=SENTENCES,
            explains=True,
            published={SCHEMA_PATH: envelope},
            described=lambda: model.openapi(envelope),
            around=around,
        ),
    )
    if follower is not None:
        follower.stop()
    return 0 if model.ready else EXIT_FAILURE


@asynccontextmanager
async def _beside(prepare: Callable[[], None]) -> AsyncIterator[None]:
    """Prepare in a thread, so that probes are answered meanwhile; end the server if it fails."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _log.critical("the methods cannot be run", exc_info=task.exception())
            signal.raise_signal(signal.SIGTERM)

    task = asyncio.create_task(asyncio.to_thread(prepare))
    task.add_done_callback(ended)
    yield
    await asyncio.wait([task])


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the server's options."""
    parser = argparse.ArgumentParser(
        prog="serving.explainer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model_dir", type=Path, help="folder of the package")
    parser.add_argument("--home", type=Path, help="the system's folder")
    parser.add_argument(
        "--model_sha256",
        default=os.environ.get(MODEL_SHA256),
        help=f"digest of the registered package: the SHA-256 of its package.json "
        f"(default: ${MODEL_SHA256}, else the folder's name)",
    )
    parser.add_argument(
        "--waiting",
        type=int,
        default=8,
        help="explanations that may wait, of each method; more are answered 429",
    )
    parser.add_argument("--store_timeout_seconds", type=float, default=2.0)
    parser.add_argument("--max_age_seconds", type=float, default=3600.0)
    parser.add_argument("--stale", choices=["flag", "refuse"], default="flag")
    parser.add_argument(
        "--predictor_host", help="given by KServe and not used: the model is asked in here"
    )
    add_arguments(parser)
    add_follow(parser)
    parser.set_defaults(http_port=ports.EXPLAINER)
    return parser


def _chosen(options: argparse.Namespace) -> tuple[pointer.Champion | None, Package]:
    if options.model_dir is not None:
        return None, load_package(options.model_dir, options.model_sha256)
    return pointer.read_package(options.home, options.follow)


if __name__ == "__main__":
    sys.exit(main())
