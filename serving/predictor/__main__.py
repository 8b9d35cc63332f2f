"""Starts the predictor.

`python -m serving.predictor --model_dir PACKAGE` serves one package for good, and so does
`--storage_uri s3://bucket/prefix` or $STORAGE_URI;
`python -m serving.predictor --home DIR` serves the champion, whichever that is at the time.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from serving.common.arguments import add_arguments, add_follow
from serving.predictor.storage import STORAGE_URI, fetched
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.private import keep_private
from toolwear.model.package import Package, load_package
from toolwear.release import champion as pointer

MODEL_SHA256 = "MODEL_SHA256"


def main() -> int:
    """Serve until told to stop; return the exit code."""
    options = command_line().parse_args()
    keep_private(options.home)
    try:
        champion, package = _chosen(options)
        # Imported once the package is known to be right: these take seconds.
        from serving.common.server import Serving, serve
        from serving.predictor.model import Predictor
        from toolwear.model.served import Served

        served = Served.load(package, champion.version if champion else "")
    except ToolwearError as error:
        print(f"predictor: {error}", file=sys.stderr)
        return EXIT_USAGE
    model = Predictor(options.model_name, served)
    model.load()
    follower = None
    if champion is not None:
        home = options.home

        def swap(new: pointer.Champion) -> None:
            model.swap(Served.load(pointer.load(home, new), new.version))

        follower = pointer.Follower(home, champion, swap, options.follow)
        follower.start()
    serve(
        [model],
        Serving(
            "predictor",
            options.host,
            options.http_port,
            options.grpc_port,
            options.access_log,
            described=model.openapi,
        ),
    )
    if follower is not None:
        follower.stop()
    return 0


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the server's options."""
    parser = argparse.ArgumentParser(prog="serving.predictor", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model_dir", type=Path, help="folder of the package")
    which.add_argument("--home", type=Path, help="the system's folder: serve its champion")
    which.add_argument(
        "--storage_uri",
        help=f"where the package is: a folder, file:// or s3:// (default: ${STORAGE_URI})",
    )
    parser.add_argument(
        "--model_sha256",
        default=os.environ.get(MODEL_SHA256),
        help=f"digest of the registered package: the SHA-256 of its package.json "
        f"(default: ${MODEL_SHA256}, else the folder's name)",
    )
    add_arguments(parser)
    add_follow(parser)
    return parser


def _chosen(options: argparse.Namespace) -> tuple[pointer.Champion | None, Package]:
    if options.model_dir is not None:
        return None, load_package(options.model_dir, options.model_sha256)
    if options.home is not None:
        return pointer.read_package(options.home, options.follow)
    uri = options.storage_uri or os.environ.get(STORAGE_URI)
    if not uri:
        raise ToolwearError(
            f"No model is named; give --home, --model_dir or --storage_uri, or set {STORAGE_URI}."
        )
    with fetched(uri) as folder:
        return None, load_package(folder, options.model_sha256)


if __name__ == "__main__":
    sys.exit(main())
