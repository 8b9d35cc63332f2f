"""Time and memory of the system on this machine: `python -m tools.bench`, or `make bench`."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from tools.bench import graph, predict, scale, score, tables
from tools.bench.measure import run
from toolwear.cli.plain import plain_console
from toolwear.cli.provenance import commit
from toolwear.common import jsonfile
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.fingerprint import ROOT

PRINT = {
    "graph": tables.graph,
    "scale": tables.scale,
    "predict": tables.predict,
    "score": tables.score,
}
SECTIONS = tuple(PRINT)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        prog="tools.bench", description="Measure time and memory of the system on this machine."
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to run")
    add(
        "--scales",
        nargs="+",
        type=_positive,
        default=[1, 10, 100],
        help="how many times the recorded data the reading steps and scoring get; "
        "default: 1 10 100",
    )
    add(
        "--data",
        type=Path,
        default=os.environ.get("TOOLWEAR_DATA"),
        help="folder of recordings; by default $TOOLWEAR_DATA, else simulated ones",
    )
    add("--repeats", type=_positive, default=1, help="rounds of first, plain and cached run")
    add("--evaluations", type=_positive, default=4, help="budget of every search, 2 or more")
    add(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="another setting of the measured `toolwear run`; repeatable",
    )
    add("--scratch", type=Path, help="folder to work in; everything made there is deleted")
    add("--output", type=Path, default=ROOT / "runs" / "bench.json", help="the figures as JSON")
    return parser.parse_args(given)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def measure(chosen: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Run the chosen sections, write and print each as it ends, and return all figures."""
    started = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"{time.monotonic() - started:6.0f} s  {text}", style="dim")

    found: dict[str, Any] = {"machine": _machine(), "load_before": os.getloadavg()}
    with tempfile.TemporaryDirectory(prefix="toolwear-bench-", dir=chosen.scratch) as folder:
        scratch = Path(folder)
        if {"graph", "predict", "score"} & set(chosen.only):
            data, found["data"] = _recordings(chosen.data, scratch, tell)
        work: dict[str, Callable[[], dict[str, Any]]] = {
            "graph": lambda: graph.measure(
                data,
                scratch,
                [f"search_evaluations={chosen.evaluations}", *chosen.settings],
                chosen.repeats,
                tell,
            ),
            "scale": lambda: scale.measure(chosen.scales, scratch, tell),
            "predict": lambda: predict.measure(data, scratch, chosen.evaluations, tell),
            "score": lambda: score.measure(chosen.scales, data, scratch, tell),
        }
        for section in (name for name in SECTIONS if name in chosen.only):
            found[section] = work[section]()
            found |= {"load_after": os.getloadavg(), "seconds": time.monotonic() - started}
            jsonfile.write(chosen.output, found)  # a later section may fail
            PRINT[section](console, found[section])
    return found


def _recordings(given: Path | None, folder: Path, tell: Callable[[str], None]) -> tuple[Path, str]:
    """Return the recordings and what they are; simulated ones where none are given."""
    if given is not None:
        return given.resolve(), "recorded"
    tell("no recordings given: simulating some")
    data = folder / "recordings"
    run([sys.executable, "-m", "toolwear.cli", "simulate", data], folder / "simulate.log")
    return data, "simulated"


def _machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        "processor": platform.machine(),
        "python": platform.python_version(),
        "commit": commit(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main() -> int:
    """Measure and return the exit code."""
    chosen, console = arguments(), plain_console()
    # As with Ctrl-C: end what was started and delete what was made.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        found = measure(chosen, console)
    except ToolwearError as error:
        console.print(str(error), style="red", soft_wrap=True)
        return EXIT_USAGE
    machine = found["machine"]
    load = " to ".join(f"{found[name][0]:.1f}" for name in ("load_before", "load_after"))
    console.print(
        f"{machine['cores']} cores, {machine['memory_gib']:.0f} GiB, load {load}, "
        f"{found.get('data', 'simulated')} data; figures in {chosen.output}",
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
