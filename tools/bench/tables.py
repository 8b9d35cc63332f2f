"""The figures as tables for a person."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from tools.bench.graph import SEARCH
from tools.bench.predict import COMPARED
from tools.bench.scale import LARGEST, ROWS_PER_COPY, STEPS, seconds_for
from tools.bench.score import WAYS


def graph(console: Console, found: dict[str, Any]) -> None:
    """Print the graph against one process, and the cached run against the first."""
    median, rest = found["median"], found["without_search"]
    last = found["rounds"][-1]
    steps = last["steps"]
    table = _table(f"Seconds a step, round {len(found['rounds'])} of {len(found['rounds'])}")
    for heading in ("graph, first run", "one process", "graph, cached run"):
        table.add_column(heading, justify="right")
    kinds = ("first", "plain", "cached")
    # The cached run may decline what the first one promoted: its own champion.
    for name in dict.fromkeys([*steps["plain"], *steps["cached"]]):
        cells = [_seconds(steps[kind].get(name)) for kind in kinds]
        if name in last["cached_steps"]:
            cells[-1] = "cached"
        table.add_row(f"{name} (left out)" if name == SEARCH else name, *cells)
    between = [last[kind]["wall"] - sum(steps[kind].values()) for kind in kinds]
    table.add_row("start, imports, kfp", *map(_seconds, between), end_section=True)
    table.add_row("whole, wall", *(_seconds(median[kind]["wall"]) for kind in kinds))
    table.add_row("whole, CPU", *(_seconds(median[kind]["cpu"]) for kind in kinds))
    table.add_row("without the search, wall", *(_seconds(rest[k]["wall"]) for k in kinds[:2]), "")
    table.add_row("without the search, CPU", *(_seconds(rest[k]["cpu"]) for k in kinds[:2]), "")
    table.add_row("largest process, MiB", *(f"{median[kind]['peak_mib']:.0f}" for kind in kinds))
    console.print(table)
    reached = "reached" if found["wall_ratio"] <= found["target"] else "NOT reached"
    _say(
        console,
        f"graph / one process, without the search: {found['wall_ratio']:.2f} of the wall time "
        f"(to reach: {found['target']} or less; {reached}), {found['cpu_ratio']:.2f} of the CPU",
        f"cached / first run: {found['cached_ratio']:.2f} of the wall time, "
        f"{found['cached_ratio_without_search']:.2f} without the first run's search; "
        f"{len(last['cached_steps'])} steps from the cache",
        f"medians over {len(found['rounds'])} round(s) of: {' '.join(found['settings'])}; the one "
        f"process itself had {last['plain_own_peak_mib']:.0f} MiB, the search runs beside it",
    )


def scale(console: Console, found: dict[str, Any]) -> None:
    """Print speed and memory of the reading steps by scale, and how linear they are."""
    table = _table("Steps at several times the recorded data (simulated), each in its own process")
    for heading in ("times", "rows", "seconds", "CPU s", "rows/s", "peak MiB", "rows/s ratio"):
        table.add_column(heading, justify="right")
    before = {large["to"]: large for large in found["linearity"]}
    for step in STEPS:
        for one in found["scales"]:
            used, copies = one["steps"][step], one["copies"]
            change = before.get(copies)
            table.add_row(
                step,
                f"{copies}" + (f" (of {one['asked']})" if copies < one["asked"] else ""),
                f"{used['rows']:,}",
                _seconds(used["wall"]),
                _seconds(used["cpu"]),
                f"{used['rows_per_second']:,.0f}",
                f"{used['peak_mib']:.0f}",
                f"{change[step]['rows_per_second']:.2f}" if change else "",
                end_section=one is found["scales"][-1],
            )
    console.print(table)
    largest = found["scales"][-1]
    _say(
        console,
        "rows/s ratio: to the scale before; 1 is linear. Imports are left out of the seconds",
        f"on disk at once: {largest['bytes_per_row']:.0f} bytes a row; "
        f"{found['free_bytes'] / 1e9:.0f} GB were free",
    )
    if any(one["copies"] < one["asked"] for one in found["scales"]):
        _say(console, f"the disk is short: {largest['copies']} times was the largest that fits")
    elif largest["copies"] < LARGEST:
        _say(
            console,
            f"{LARGEST} times was left out: at this speed {LARGEST * ROWS_PER_COPY:,} rows take "
            f"{seconds_for(LARGEST, found['scales']) / 60:.0f} min beside the simulation; "
            f'make bench ARGS="--only scale --scales 1 10 100 {LARGEST}"',
        )


def predict(console: Console, found: dict[str, Any]) -> None:
    """Print auto-sklearn against ONNX."""
    members = ", ".join(found["members"])
    table = _table(f"A prediction by {len(found['members'])} member(s): {members}")
    for heading in ("rows", "wall ms", "CPU ms", "MiB held", "peak MiB", "calls"):
        table.add_column(heading, justify="right")
    for size, figures in found["sizes"].items():
        for name, shown in (("auto_sklearn", "auto-sklearn"), ("onnx", "ONNX graph")):
            used = figures[name]
            table.add_row(
                shown,
                f"{int(size):,}",
                f"{used['wall'] * 1000:.3f}",
                f"{used['cpu'] * 1000:.3f}",
                f"{used['resident_mib']:.0f}",
                f"{used['peak_mib']:.0f}",
                f"{figures['calls']}",
            )
        ratios = found["ratios"][size]
        cells = (f"{ratios[key]:.1f} x" for key in COMPARED)
        table.add_row("auto-sklearn / ONNX", "", *cells, "", end_section=True)
    console.print(table)
    worst = max(figures["max_abs_diff"] for figures in found["sizes"].values())
    _say(
        console,
        "medians of calls asked in turn of two processes, one thread each; auto-sklearn's members "
        "are called directly, without the checks of its own predict_proba",
        f"fitted on {found['trained_rows']:,} rows by {found['evaluations']} evaluations, seed "
        f"{found['seed']}; both agree within {worst:.1e}; the graph is a file of "
        f"{found['onnx_bytes'] / 2**20:.0f} MiB, and its peak is that of loading it",
    )


def score(console: Console, found: dict[str, Any]) -> None:
    """Print speed and memory of scoring a recording, beside a plain script."""
    table = _table("A recording of growing length, from the CSV file to the verdict")
    for heading in ("times", "rows", "rows/s", "CPU s", "peak MiB"):
        table.add_column(heading, justify="right")
    for one in found["scales"]:
        for way in WAYS:
            used = one[way]
            table.add_row(
                way,
                f"{one['copies']}",
                f"{used['rows']:,}",
                f"{used['rows_per_second']:,.0f}",
                f"{used['cpu']:.2f}",
                f"{used['peak_mib']:.0f}",
            )
        cells = (f"{one['ratio'][key]:.2f}" for key in ("rows_per_second", "peak_mib"))
        speed, peak = cells
        table.add_row("toolwear / plain", "", "", speed, "", peak, end_section=True)
    console.print(table)
    largest = found["scales"][-1]["ratio"]["rows_per_second"]
    reached = "reached" if largest >= found["target"] else "NOT reached"
    _say(
        console,
        f"of the plain script's rows a second at the largest: {largest:.2f} (to reach: "
        f"{found['target']} or more; {reached})",
        "the plain script is pandas, our feature function and ONNX Runtime, all rows in memory, "
        "without the reader's checks and without restoring the order; one thread each",
    )


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    return table


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _say(console: Console, *sentences: str) -> None:
    for sentence in sentences:
        console.print(f"- {sentence}")
