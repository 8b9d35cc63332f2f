"""What a quiet client keeps under attack: `python -m tools.bench_attacks`, `make bench-attacks`."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.console.stack import Stack, running
from tests.serving.conftest import MODEL, environment
from tools.bench_attacks.flood import attacks
from tools.bench_serving import place
from tools.bench_serving.load import generate
from toolwear.cli.plain import plain_console
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.release import champion as pointer
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

SERVERS = ("transformer", "predictor", "explainer", "console", "trigger", "monitor", "front")
_BEFORE_SECONDS = 2.0  # for an attack to be under way


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        prog="tools.bench_attacks",
        description="Measure a quiet client's predictions without and under each attack.",
    )
    parser.add_argument("--home", type=Path, default=Path("runs"), help="whose champion is served")
    parser.add_argument("--requests", type=int, default=600, help="under each attack")
    parser.add_argument("--only", nargs="*", default=[], metavar="ATTACK", help="of the table")
    return parser.parse_args(given)


def measure(chosen: argparse.Namespace, console: Console) -> Table:
    """Start the servers, measure, end them, and return the table.

    Raises:
        ToolwearError: the home has no champion.
    """
    pointer.read_package(chosen.home)
    table = Table("attack", "p50 ms", "p99 ms", "x quiet p99", "readiness p99 ms", "grew by MB")
    with tempfile.TemporaryDirectory(prefix="toolwear-attacks-") as folder:
        home = place.copied(chosen.home, Path(folder))
        token = Tokens(Home.at(home)).own(Scope.LABEL)
        with running(home, Path(folder)) as stack:
            urls = {name: stack.of(name) for name in (*SERVERS, "predictor_grpc")}
            _quiet(stack, chosen.requests)  # warm
            quiet = _quiet(stack, chosen.requests)
            table.add_row("none", *_figures(quiet, quiet), _figures(_ready(stack), quiet)[1], "")
            for name in chosen.only or attacks(urls, token):
                before = {server: stack.resident(server) for server in SERVERS}
                console.print(f"{name} ...")
                with _under(name, urls, token):
                    found, ready = _quiet(stack, chosen.requests), _ready(stack)
                    grew = {one: stack.resident(one) - before[one] for one in SERVERS}
                most = max(grew, key=lambda one: grew[one])
                grown = f"{grew[most] / (1 << 20):.0f} ({most})"
                table.add_row(name, *_figures(found, quiet), _figures(ready, quiet)[1], grown)
    return table


@contextmanager
def _under(name: str, urls: dict[str, str], token: str) -> Iterator[None]:
    command = [sys.executable, "-m", "tools.bench_attacks.flood", name, json.dumps(urls), token]
    process = subprocess.Popen(command, env=environment())
    try:
        time.sleep(_BEFORE_SECONDS)
        yield
        if process.poll() is not None:
            raise ToolwearError(f"The attack '{name}' ended by itself; see above.")
    finally:
        process.kill()
        process.wait()


def _quiet(stack: Stack, requests: int) -> list[float]:
    order = {
        "host": "127.0.0.1",
        "port": stack.port,
        "path": f"/v1/models/{MODEL}:predict",
        "bodies": [json.dumps({"instances": [{"run_id": "07"}]})],
        "clients": 1,
        "requests": requests,
    }
    found: list[float] = generate(order)["latencies_ms"]
    return found


def _ready(stack: Stack) -> list[float]:
    url, took = f"{stack.of('transformer')}/v2/models/{MODEL}/ready", []
    for _ in range(100):
        started = time.perf_counter()
        if not stack.answers(url):
            raise ToolwearError("A server says that it is not ready.")
        took.append(1000 * (time.perf_counter() - started))
    return took


def _figures(found: list[float], quiet: list[float]) -> tuple[str, str, str]:
    cuts, before = (statistics.quantiles(one, n=100) for one in (found, quiet))
    return f"{cuts[49]:.1f}", f"{cuts[98]:.1f}", f"{cuts[98] / before[98]:.2f}"


def main() -> int:
    """Measure and print; return the exit code."""
    console = plain_console()
    try:
        console.print(measure(arguments(), console))
    except ToolwearError as error:
        print(f"bench-attacks: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
