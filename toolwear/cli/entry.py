"""The command `toolwear`, also where only the client was installed."""

from __future__ import annotations

import sys

from toolwear.common.errors import EXIT_USAGE


def main() -> None:
    """Run the command line; where its packages are missing, say what to install."""
    try:
        from toolwear.cli.main import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "toolwear":
            raise
        print(
            f"toolwear: The command needs {error.name}, and only the client is installed here; "
            "install toolwear[full].",
            file=sys.stderr,
        )
        sys.exit(EXIT_USAGE)
    run()
