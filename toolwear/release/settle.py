"""Carries a rollout's verdict out: `python -m toolwear.release.settle --home DIR`.

A process of its own, because the registry's client takes seconds to load and the front, which
decides, has requests to answer meanwhile.
"""

from __future__ import annotations

import argparse
import os
import sys

from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.release.rollouts import settle
from toolwear.workspace.home import MLFLOW_VARIABLE, Home


def main() -> int:
    """Settle, say how the rollout ended, and return the exit code."""
    parser = argparse.ArgumentParser(prog="toolwear.release.settle", description=__doc__)
    parser.add_argument("--home", default="", help="the system's folder (default: $TOOLWEAR_HOME)")
    parser.add_argument(
        "--mlflow_uri",
        default=os.environ.get(MLFLOW_VARIABLE, ""),
        help=f"the registry (default: ${MLFLOW_VARIABLE}, else the local one in the home)",
    )
    options = parser.parse_args()
    try:
        ended = settle(Home.at(options.home), options.mlflow_uri)
    except ToolwearError as error:
        print(f"settle: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(f"version {ended.version}: {ended.result}" if ended else "there is no rollout")
    return 0


if __name__ == "__main__":
    sys.exit(main())
