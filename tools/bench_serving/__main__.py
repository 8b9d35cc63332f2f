"""What serving costs: `python -m tools.bench_serving`, or `make bench-serving`."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.ports import free_port
from tools.bench_serving import compare, place, rivals
from tools.bench_serving.figures import targets
from tools.bench_serving.rivals import Rival
from tools.bench_serving.server import HOST, ours
from toolwear.cli.plain import plain_console
from toolwear.cli.provenance import commit
from toolwear.common import jsonfile
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.fingerprint import ROOT
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import Package
from toolwear.release import champion as pointer


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        prog="tools.bench_serving", description="Measure what serving costs on this machine."
    )
    add = parser.add_argument
    add("--home", type=Path, help="measure its champion; by default one on simulated recordings")
    add("--rounds", type=_positive, default=3, help="over all servers")
    add(
        "--requests",
        type=_positive,
        default=2000,
        help="of one row, in a round (16 or more; few make CPU times coarse)",
    )
    add("--output", type=Path, default=ROOT / "runs" / "bench-serving.json", help="the figures")
    chosen = parser.parse_args(given)
    if chosen.requests < 16:
        parser.error("--requests has to be 16 or more: there are up to 16 clients")
    return chosen


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def measure(chosen: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Start the servers, measure, end them, and return all figures."""
    started = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"{time.monotonic() - started:6.0f} s  {text}", style="dim")

    found: dict[str, Any] = {
        "machine": _machine(),
        "rounds": chosen.rounds,
        "load_before": os.getloadavg(),
    }
    with (
        tempfile.TemporaryDirectory(prefix="toolwear-bench-") as folder,
        ExitStack() as stack,
    ):
        scratch = Path(folder)
        home = place.copied(chosen.home, scratch) if chosen.home else place.made(scratch, tell)
        _, package = pointer.read_package(home)
        rows = package.reference()["X"]
        found["model"] = {
            "package_digest": package.digest,
            "bytes": len(package.model),
            "features": len(package.features),
            "made_for_the_bench": chosen.home is None,
        }
        tell("starting the servers")
        grpc_port = free_port()
        model = ["--home", str(home), "--grpc_port", str(grpc_port)]
        direct = rivals.predictor(ours("predictor", scratch / "predictor.log", *model))
        compared, found["left_out"] = _started(direct, package, scratch, stack)
        for name, reason in found["left_out"].items():
            console.print(f"{name} is left out: {reason}", style="yellow")
        found["servers"] = compare.rivals(compared, rows, chosen.requests, chosen.rounds, tell)
        for rival in compared:
            if rival is not direct:
                rival.server.stop()
        found["chain"] = _chain(direct, home, grpc_port, scratch, chosen, stack, tell)
    one = next(
        line
        for line in found["servers"]
        if (line["rows"], line["clients"], line["server"]) == (1, 1, rivals.PREDICTOR)
    )
    found["targets"] = targets({**found["chain"], "cpu_ratio": one["cpu_ratio"]})
    return found | {"load_after": os.getloadavg(), "seconds": time.monotonic() - started}


def _started(
    direct: Rival, package: Package, scratch: Path, stack: ExitStack
) -> tuple[list[Rival], dict[str, str]]:
    """Start what can be started and answers rightly; say why the others are left out."""
    golden = package.golden().rows
    expected = OnnxModel(package.model).predict_proba(golden)
    makers: dict[str, Callable[[], Rival]] = {
        rivals.PLAIN: lambda: rivals.plain(package, scratch),
        rivals.PREDICTOR: lambda: direct,
        rivals.MLSERVER: lambda: rivals.mlserver(package, scratch),
        rivals.MLFLOW: lambda: rivals.mlflow(package, scratch),
    }
    compared, left_out = [], {}
    for name, make in makers.items():
        try:
            rival = make()
            _start(rival, golden, expected, stack)
            compared.append(rival)
        except ToolwearError as error:
            if name in (rivals.PLAIN, rivals.PREDICTOR):
                raise
            left_out[name] = str(error)
    return compared, left_out


def _start(rival: Rival, rows: np.ndarray, expected: np.ndarray, stack: ExitStack) -> None:
    """Start a server that is to run until the stack ends, unless it answers otherwise."""
    with ExitStack() as unless_right:
        unless_right.callback(rival.server.stop)
        rival.server.start()
        compare.check(rival, rows, expected)
        stack.push(unless_right.pop_all())


def _chain(
    direct: Rival,
    home: Path,
    grpc_port: int,
    scratch: Path,
    chosen: argparse.Namespace,
    stack: ExitStack,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    at_home = ["--home", str(home)]
    hop = ["--predictor_host", f"{HOST}:{grpc_port}"]
    front = ours("transformer", scratch / "transformer.log", *at_home, *hop)
    explainer = ours("explainer", scratch / "explainer.log", *at_home)
    tell("starting transformer and explainer")
    for server in (front, explainer):
        stack.callback(server.stop)
        server.start()
    requests = max(1, chosen.requests // 4)
    tell(f"the chain: {chosen.rounds} rounds of {requests} requests")
    _, package = pointer.read_package(home)
    runs = place.run_ids(home)
    rows = package.reference()["X"]
    return compare.chain(direct, front, explainer, rows, runs, requests, chosen.rounds)


def _machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "commit": commit(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def show(console: Console, found: dict[str, Any]) -> None:
    """Print the figures; "x plain" is CPU time against the plain server, and its range."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("rows", "clients", "server", "p50 ms", "p99 ms", "req/s", "CPU ms", "x plain"):
        table.add_column(name, justify="left" if name == "server" else "right", no_wrap=True)
    table.add_column("least-most", no_wrap=True)
    for line in found["servers"]:
        table.add_row(
            *(str(line[key]) for key in ("rows", "clients", "server")),
            *(_short(line[key]) for key in ("p50_ms", "p99_ms", "requests_per_second", "cpu_ms")),
            f"{line['cpu_ratio']:.2f}",
            f"{line['cpu_ratio_least']:.2f}-{line['cpu_ratio_most']:.2f}",
        )
    console.print(table)
    for name in ("direct", "chain", "shap"):
        line = found["chain"][name]
        console.print(
            f"{name:<7} one row, one client: p50 {line['p50_ms']:.2f} ms, "
            f"p99 {line['p99_ms']:.2f} ms, CPU of its server {line['cpu_ms']:.2f} ms",
            soft_wrap=True,
        )
    chain = found["chain"]
    console.print(
        f"chain against direct, a round: {chain['chain_ratio_least']:.2f} to "
        f"{chain['chain_ratio_most']:.2f}"
    )
    for target in found["targets"]:
        colour, word = ("green", "reached") if target["reached"] else ("red", "missed")
        said = f" {target['name']}: {target['value']:.2f} of {target['limit']:g}"
        console.print(Text.assemble((word, colour), said), soft_wrap=True)


def _short(value: float) -> str:
    """Return a figure with two digits behind the point, fewer where it is large."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def main() -> int:
    """Measure, write the figures, and return the exit code."""
    chosen, console = arguments(), plain_console()
    # An end by SIGTERM has to end the servers too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        found = measure(chosen, console)
    except ToolwearError as error:
        console.print(str(error), style="red", soft_wrap=True)
        return EXIT_USAGE
    jsonfile.write(chosen.output, found)
    show(console, found)
    load = " to ".join(f"{found[name][0]:.1f}" for name in ("load_before", "load_after"))
    console.print(
        f"{found['machine']['cores']} cores, shared with the load generator, load {load}; "
        f"{found['model']['bytes'] / 1e6:.1f} MB of graph; figures in {chosen.output}",
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
