"""Measures in the browser what a person waits for: `python -m tools.console.bench HOME`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.console.browser import PAGES, chromium, fill, open_page
from tests.console.stack import running

_ROUNDS = 5
_PAINT = """() => performance.getEntriesByName('first-contentful-paint')[0].startTime"""


def main(home: Path) -> None:
    """Print for each page its first paint and when all of its parts were there."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder, running(home, Path(folder)) as stack:
        stack.start_prometheus()
        stack.traffic(36)
        table = Table(title=f"Seconds, median of {_ROUNDS} (the first, with nothing kept yet)")
        for heading in ("page", "first paint", "whole page, all parts"):
            table.add_column(heading)
        with chromium() as browser:
            for name, path in PAGES.items():
                paints, wholes = [], []
                for _ in range(_ROUNDS):
                    page = open_page(browser)
                    started = time.perf_counter()
                    page.goto(stack.url + path)
                    fill(page)
                    wholes.append(time.perf_counter() - started)
                    paints.append(page.evaluate(_PAINT) / 1000)
                    page.context.close()
                table.add_row(name, _told(paints), _told(wholes))
        console.print(table)


def _told(seconds: list[float]) -> str:
    return f"{median(seconds):.2f} ({seconds[0]:.2f})"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
