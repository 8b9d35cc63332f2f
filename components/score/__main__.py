"""Scores without a pipeline: `python -m components.score`, as the trigger does on this machine."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from components.score.step import score
from toolwear.common.private import keep_private
from toolwear.common.steps import run_step
from toolwear.run.scoring import ScoringParameters
from toolwear.workspace.home import Home


def main() -> None:
    """Score what the options say; one sentence and exit code 2 for what a person can mend."""
    parser = argparse.ArgumentParser(prog="components.score", description=__doc__)
    for name, field in ScoringParameters.model_fields.items():
        parser.add_argument(
            f"--{name}", default="", required=field.is_required(), help=field.description
        )
    parser.add_argument("--home", type=Home.at, default="", help="by default $TOOLWEAR_HOME")
    parser.add_argument("--job", required=True, help="name by which the home keeps the verdicts")
    options = parser.parse_args()
    keep_private()
    with tempfile.TemporaryDirectory(prefix="toolwear-") as folder:
        run_step("score", score, **vars(options), output=Path(folder) / "verdicts")


if __name__ == "__main__":
    main()
