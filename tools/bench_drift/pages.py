"""The tables as Markdown, and the page that holds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from serving.monitor.kinds import Kind
from tools.bench_drift.figures import Cell, Null, Seen
from tools.replay.scenarios import SCENARIOS
from toolwear.common.errors import ToolwearError

FORESTS = ("<!-- drift tables: make drift-table -->", "<!-- end of drift tables -->")
CHAMPION = ("<!-- champion: make drift-table ARGS=--home -->", "<!-- end of champion -->")
REAL_FEEDS = "real_feeds"
TITLES = {
    **{name: scenario.title for name, scenario in SCENARIOS.items()},
    "other_feed": "feed rate half as high again (changed rows)",
    REAL_FEEDS: "a model of 6 to 20 mm/s serves 3 mm/s (real rows)",
}


def tables(cells: Mapping[str, Cell], known: Null, left_out: Null) -> str:
    """Return all tables."""
    lines = [
        *_false_alarms(known, left_out),
        "",
        *_alarms(cells),
        "",
        "Single windows: those that were alarms, of all that were judged.",
        "",
        *_by_scenario(cells, _share),
    ]
    return "\n".join(lines)


def _false_alarms(known: Null, left_out: Null) -> list[str]:
    return [
        (
            "False alarms of healthy windows per 1000 (95 % interval over runs), and runs in which "
            "enough of them came together to raise the alarm. Runs left out are in neither the "
            "model nor the limits; the known runs set the limits, so that few alarms on them prove "
            "nothing."
        ),
        "",
        (
            "| detector | runs left out: windows | per 1000 | alarms | known runs: windows "
            "| per 1000 | alarms |"
        ),
        "|---|---|---|---|---|---|---|",
        *(f"| {kind} | {_rate(left_out, kind)} | {_rate(known, kind)} |" for kind in Kind),
    ]


def champion_tables(cells: Mapping[str, Cell], known: Null) -> str:
    """Return the tables of one model that knows all runs."""
    judged = "; ".join(
        f"{kind} {rate.alarming} of {rate.windows}" for kind, rate in known.items() if rate.windows
    )
    return "\n".join(
        [
            *_alarms(cells),
            "",
            f"Healthy windows that were alarms, on the runs that set the limits: {judged}.",
        ]
    )


def _alarms(cells: Mapping[str, Cell]) -> list[str]:
    return [
        (
            "Alarms: runs in which the alarm was raised, of those with windows enough for one, and "
            "the median delay in windows."
        ),
        "",
        *_by_scenario(cells, _told),
    ]


def _by_scenario(cells: Mapping[str, Cell], told: Callable[[Seen], str]) -> list[str]:
    return [
        f"| scenario | {' | '.join(Kind)} |",
        f"|---|{'---|' * len(Kind)}",
        *(
            f"| {TITLES[name]} | {' | '.join(told(cell[kind]) for kind in Kind)} |"
            for name, cell in cells.items()
        ),
    ]


def replace_tables(page: Path, found: str, marks: tuple[str, str]) -> None:
    """Put the tables into a page, between two marks.

    Raises:
        ToolwearError: the page lacks the marks.
    """
    begin, end = marks
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ToolwearError(f"{page} lacks the marks between which the tables go: {begin}")
    page.write_text(pattern.sub(f"{begin}\n\n{found}\n\n{end}", text), encoding="utf-8")


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
