"""The tables as Markdown, and the page that holds them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from components.core.errors import ToolwearError
from serving.monitor.kinds import Kind
from serving.replay.scenarios import SCENARIOS
from tests.bench_drift.figures import Cell, Null, Seen

BEGIN, END = "<!-- drift tables: make drift-table -->", "<!-- end of drift tables -->"
REAL_FEEDS = "real_feeds"
TITLES = {
    **{name: scenario.title for name, scenario in SCENARIOS.items()},
    "other_feed": "feed rate half as high again (changed rows)",
    REAL_FEEDS: "a model of 6 to 20 mm/s serves 3 mm/s (real rows)",
}


def tables(cells: Mapping[str, Cell], known: Null, left_out: Null) -> str:
    """Return all tables."""
    kinds = [*Kind]
    lines = [
        (
            "Alarms: runs in which the alarm was raised, of those with windows enough for one, and "
            "the median delay in windows."
        ),
        "",
        f"| scenario | {' | '.join(kinds)} |",
        f"|---|{'---|' * len(kinds)}",
        *(
            f"| {TITLES[name]} | {' | '.join(_told(cell[kind]) for kind in kinds)} |"
            for name, cell in cells.items()
        ),
        "",
        "Single windows: those that were alarms, of all that were judged.",
        "",
        f"| scenario | {' | '.join(kinds)} |",
        f"|---|{'---|' * len(kinds)}",
        *(
            f"| {TITLES[name]} | {' | '.join(_share(cell[kind]) for kind in kinds)} |"
            for name, cell in cells.items()
        ),
        "",
        (
            "False alarms of healthy windows per 1000 (95 % interval over runs), and runs in which "
            "enough of them came together to raise the alarm."
        ),
        "",
        (
            "| detector | known runs: windows | per 1000 | alarms | new runs: windows | per 1000 "
            "| alarms |"
        ),
        "|---|---|---|---|---|---|---|",
        *(f"| {kind} | {_rate(known, kind)} | {_rate(left_out, kind)} |" for kind in kinds),
    ]
    return "\n".join(lines)


def replace_tables(page: Path, found: str) -> None:
    """Put the tables into a page, between its two marks.

    Raises:
        ToolwearError: the page lacks the marks.
    """
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise ToolwearError(f"{page} lacks the marks between which the tables go: {BEGIN}")
    page.write_text(pattern.sub(f"{BEGIN}\n\n{found}\n\n{END}", text), encoding="utf-8")


def _told(seen: Seen) -> str:
    if not seen.runs:
        return "no windows"
    late = f", {np.median(seen.delays):g}" if seen.delays else ""
    return f"{seen.raised} of {seen.runs}{late}"


def _share(seen: Seen) -> str:
    return f"{seen.alarming} of {seen.windows}" if seen.windows else "-"


def _rate(rates: Null, kind: Kind) -> str:
    rate = rates[kind]
    if not rate.windows:
        return "0 | - | -"
    low, high = rate.interval
    per = rate.alarming / rate.windows * 1000
    return (
        f"{rate.windows} of {rate.runs} runs | {per:.0f} ({low:.0f} to {high:.0f}) | {rate.raised}"
    )
