"""What share of wrong labels it takes to get a worse model promoted: `make poison-drill`.

A forest with scikit-learn's defaults stands in for the AutoML search, which would take minutes for
each cell; it is exported, judged and guarded as the search's model is. "Worse" is judged by the
clean labels, which neither the gate nor the guard is shown: accuracy on the rows held back, below
the champion's by more than the margin of a tie.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from components.features.step import features
from components.ingest.step import ingest
from tools.bench_poison.attacks import ATTACKS
from tools.bench_poison.cells import drill
from tools.bench_poison.figures import draw, got_past, table
from toolwear.common import jsonfile
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.run.config import RunParameters

SHARES = (0.05, 0.1, 0.2, 0.4)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="tools.bench_poison", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=os.environ.get("TOOLWEAR_DATA"), help="clean recordings")
    add("--seeds", type=int, default=5, help="draws of each cell")
    add("--shares", type=float, nargs="+", default=list(SHARES), help="of labels to flip")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    add("--output", type=Path, default=ROOT / "runs" / "poison.json", help="the figures as JSON")
    chosen = parser.parse_args(given)
    if chosen.data is None or chosen.seeds < 1 or not all(0 < s < 1 for s in chosen.shares):
        parser.error(
            "give --data or $TOOLWEAR_DATA, one seed or more, and shares above 0 and below 1"
        )
    return chosen


def main() -> int:
    """Run the drill; the exit code is 1 if a poisoned model got past the guard."""
    chosen, started = arguments(), time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="toolwear-poison-") as folder:
        telemetry, made = Path(folder) / "telemetry", Path(folder) / "features"
        try:
            ingest(str(chosen.data), "", allow_simulator=False, output=telemetry)
        except ToolwearError as error:
            print(error, file=sys.stderr)
            return EXIT_USAGE
        defaults = RunParameters()
        features(telemetry, defaults.restore_order, defaults.window, defaults.stride, made)
        attempts = drill(
            telemetry, made, ATTACKS, chosen.shares, chosen.seeds, chosen.workers, tell
        )
    jsonfile.write(chosen.output, [asdict(item) for item in attempts])
    picture = chosen.output.with_suffix(".png")
    draw(picture, attempts)
    print(f"\n{table(attempts)}\n\nfigures in {chosen.output}, plot in {picture}")
    past = got_past(attempts)
    print(f"poisoned models that got past what the guard promises: {len(past)}")
    return 1 if past else 0


if __name__ == "__main__":
    sys.exit(main())
