"""`python -m tools.images [--base REPOSITORY] [--check] [NAME ...]` builds the images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.images.build import build
from tools.images.environments import named
from tools.images.start import check, serve
from toolwear.common.errors import EXIT_USAGE, ToolwearError


def main() -> int:
    """Build, print sizes, and with --check start each image; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools.images", description=__doc__)
    parser.add_argument("names", nargs="*", help="pipeline, automl, serving; all by default")
    parser.add_argument(
        "--base", default="", help="repository with the tags 3.12 and 3.9 to build on"
    )
    parser.add_argument("--check", action="store_true", help="start what is built, without a build")
    parser.add_argument(
        "--package", type=Path, help="with --check: a model package to serve until it is healthy"
    )
    options = parser.parse_args()
    try:
        for environment in named(options.names):
            if options.check:
                for line in check(environment):
                    print(f"{environment.name}: {line}", flush=True)
                if options.package and environment.name == "serving":
                    seconds = serve(options.package)
                    print(f"serving: healthy with {options.package.name[:12]} in {seconds:.0f} s")
                continue
            made = build(environment, options.base)
            print(
                f"{environment.name}: {made.image} {made.digest[:19]} "
                f"{made.size / 1e6:.0f} MB in {made.seconds:.0f} s",
                flush=True,
            )
    except ToolwearError as error:
        print(f"images: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
