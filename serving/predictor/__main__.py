"""Starts the predictor: `python -m serving.predictor --model_dir PACKAGE --http_port 8080`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from components.core.errors import EXIT_USAGE, ToolwearError
from components.core.package import load_package
from serving.common.arguments import add_arguments

MODEL_SHA256 = "MODEL_SHA256"


def main() -> int:
    """Serve until told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="serving.predictor", description=__doc__)
    parser.add_argument("--model_dir", required=True, type=Path, help="folder of the package")
    parser.add_argument(
        "--model_sha256",
        default=os.environ.get(MODEL_SHA256),
        help=f"digest of the registered package: the SHA-256 of its package.json "
        f"(default: ${MODEL_SHA256}, else the folder's name)",
    )
    add_arguments(parser)
    options = parser.parse_args()
    try:
        package = load_package(options.model_dir, options.model_sha256)
    except ToolwearError as error:
        print(f"predictor: {error}", file=sys.stderr)
        return EXIT_USAGE
    # Imported once the package is known to be right: these take seconds.
    from serving.common.server import Serving, serve
    from serving.predictor.model import Predictor

    model = Predictor(options.model_name, package)
    model.load()
    serve(
        [model],
        Serving(
            "predictor",
            options.host,
            options.http_port,
            options.grpc_port,
            options.access_log,
        ),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
