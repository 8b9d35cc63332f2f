"""Gives a cluster's traffic to the champion: `python -m components.deploy`.

For a cluster that was filled from a backup, or one whose traffic went to another version.
"""

from __future__ import annotations

import argparse
import os
import sys

from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.private import keep_private
from toolwear.release.blue_green.cluster import NAMESPACE_VARIABLE
from toolwear.release.held import AT_ONCE, no_champion
from toolwear.release.registry import CHAMPION, Registry, Version
from toolwear.release.registry_state import MODEL_NAME
from toolwear.release.served import serve, served_by
from toolwear.workspace.home import MLFLOW_VARIABLE, Home


def main() -> int:
    """Serve the champion, unless it has all traffic already; return the exit code."""
    parser = argparse.ArgumentParser(prog="components.deploy", description=__doc__)
    parser.add_argument("--home", default="", help="the system's folder (default: $TOOLWEAR_HOME)")
    options = parser.parse_args()
    keep_private(Home.at(options.home).root)
    try:
        champion = _serve_champion(Home.at(options.home))
    except ToolwearError as error:
        print(f"deploy: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(f"version {champion.number} is served")
    return 0


def _serve_champion(home: Home) -> Version:
    served = served_by(home)
    if served is None:
        raise ToolwearError(f"Set {NAMESPACE_VARIABLE} to the namespace of the models.")
    registry = Registry(home, os.environ.get(MLFLOW_VARIABLE, ""), MODEL_NAME)
    with served.alone():
        champion = registry.at(CHAMPION)
        if champion is None:
            raise ToolwearError(no_champion(home))
        serve(served, registry, champion, "", AT_ONCE)
    return champion


if __name__ == "__main__":
    sys.exit(main())
