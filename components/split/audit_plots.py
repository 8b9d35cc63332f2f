"""Figures of the audit, for a person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from toolwear.dataset import schema

DPI = 110
SHOWN_COLUMNS = 30
SHOWN_RUNS = 40
_COLOURS = {0: "#2b6cb0", 1: "#c05621"}  # unworn, worn: told apart by colour-blind readers too
_LEAK, _FINE, _RESTORED = "#b91c1c", "#64748b", "#0f766e"


def draw(audit: dict[str, Any], rows: pd.DataFrame, folder: Path) -> None:
    """Write a PNG into `folder` for each of the four figures that there is something to draw of.

    Args:
        audit: content of `audit.json`.
        rows: what the audit was given.
        folder: is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cutting = rows[rows[schema.IS_CUTTING].to_numpy(dtype=bool)]
    marks, told = audit["session_fingerprint"], audit["settings_told"]
    telemetry = [item for item in audit["columns"] if item["column"] in cutting]
    plots: dict[str, Callable[[Figure], None]] = {
        "order_jumps": lambda figure: _order(figure, audit["order"]),
    }
    if audit["columns"]:
        plots["column_auc"] = lambda figure: _column_auc(figure, audit)
    if telemetry:
        plots["clearest_column"] = lambda figure: _clearest(figure, telemetry[0], cutting, told)
    if marks:
        plots["session_fingerprint"] = lambda figure: _session(figure, marks[0], cutting, told)
    for name, plot in plots.items():
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        plot(figure)
        figure.savefig(folder / f"{name}.png", dpi=DPI)


def _column_auc(figure: Figure, audit: dict[str, Any]) -> None:
    shown = audit["columns"][:SHOWN_COLUMNS][::-1]
    figure.set_size_inches(8.5, 1.6 + 0.22 * len(shown))
    axes = figure.subplots()
    areas = [item["run_auc"] for item in shown]
    colours = [_LEAK if item["leak"] else _FINE for item in shown]
    axes.hlines(range(len(shown)), 0.5, areas, color=colours, linewidth=2)
    axes.scatter(areas, range(len(shown)), color=colours, zorder=3)
    axes.set_yticks(range(len(shown)), [item["column"] for item in shown], fontsize=8)
    for place, item in enumerate(shown):
        axes.annotate(
            f" {item['runs_right']}/{item['runs']}",
            (item["run_auc"], place),
            xytext=(5, -3),
            textcoords="offset points",
            fontsize=7,
        )
    threshold = audit["thresholds"]["single_column_run_auc"]
    axes.axvline(threshold, color=_LEAK, linestyle="--", linewidth=1)
    axes.axvline(0.5, color="black", linewidth=0.8)
    axes.set_xlim(min(0.4, *areas) - 0.02, 1.06)
    axes.set_xlabel(
        f"run AUC of the column alone, one run left out (dashed: limit {threshold:g}; "
        "label: runs right)"
    )
    leaking = sum(item["leak"] for item in audit["columns"])
    axes.set_title(
        f"{leaking or 'No'} column{'' if leaking == 1 else 's'} alone "
        f"tell{'s' if leaking == 1 else ''} worn from unworn in unseen runs\n"
        f"(best {len(shown)} of {len(audit['columns'])} columns)",
        fontsize=10,
    )
    axes.grid(axis="x", alpha=0.3)


def _per_run(figure: Figure, axes: Axes, column: str, cutting: pd.DataFrame, told: str) -> None:
    """Draw the values of a column in each run's cutting rows, coloured by label."""
    groups = list(cutting.groupby(schema.RUN_ID, sort=False))[:SHOWN_RUNS]
    generator = np.random.default_rng(0)  # where the dots lie across, no more
    for place, (_, group) in enumerate(groups):
        values = group[column].to_numpy(dtype=float)
        colour = _COLOURS[int(group[schema.LABEL].iloc[0])]
        shown = values if values.size <= 400 else generator.choice(values, 400, replace=False)
        across = place + generator.uniform(-0.25, 0.25, shown.size)
        axes.scatter(across, shown, s=4, alpha=0.35, color=colour, linewidths=0)
        axes.hlines(values.mean(), place - 0.35, place + 0.35, color="black", linewidth=1.2)
    axes.set_xticks(
        range(len(groups)),
        [f"{run}\n{group[schema.SETTING].iloc[0]}" if told else str(run) for run, group in groups],
        fontsize=7,
    )
    axes.set_xlabel(f"run, and its setting ({told})" if told else "run")
    axes.set_ylabel(column)
    axes.grid(axis="y", alpha=0.3)
    names = [
        Line2D([], [], marker="o", linestyle="", color=_COLOURS[number], label=name)
        for number, name in enumerate(schema.CLASSES)
    ]
    mean = Line2D([], [], color="black", label="mean of the run")
    figure.legend(handles=[*names, mean], fontsize=8, loc="outside right upper")


def _clearest(figure: Figure, item: dict[str, Any], cutting: pd.DataFrame, told: str) -> None:
    figure.set_size_inches(10, 4.5)
    axes = figure.subplots()
    _per_run(figure, axes, item["column"], cutting, told)
    verdict = "gives the label away" if item["leak"] else "is the clearest, and no leak"
    axes.set_title(
        f"{item['column']} {verdict}: alone it judges {item['runs_right']} of {item['runs']} "
        f"unseen runs right (run AUC {item['run_auc']:.2f})\ncutting rows, at most 400 a run drawn",
        fontsize=10,
    )


def _session(figure: Figure, item: dict[str, Any], cutting: pd.DataFrame, told: str) -> None:
    figure.set_size_inches(10, 4.5)
    axes = figure.subplots()
    _per_run(figure, axes, item["column"], cutting, told)
    axes.set_title(
        f"{item['column']} tells the session: runs of one setting differ by up to "
        f"{item['effect_sd']:.1f} row standard deviations\ncutting rows, at most 400 a run drawn",
        fontsize=10,
    )


def _order(figure: Figure, order: dict[str, Any]) -> None:
    figure.set_size_inches(10, 4)
    axes = figure.subplots()
    runs = dict(list(order["run"].items())[:SHOWN_RUNS])
    places = np.arange(len(runs))
    stored = [100 * item["share"] for item in runs.values()]
    colours = [_LEAK if item["shuffled"] else _FINE for item in runs.values()]
    legend = {"as stored, out of order": _LEAK, "as stored, in order": _FINE}
    width = 0.4 if order["restored"] else 0.7
    shift = width / 2 if order["restored"] else 0.0
    axes.bar(places - shift, stored, width, color=colours)
    if order["restored"]:
        after = [100 * item["restored_share"] for item in runs.values()]
        axes.bar(places + shift, after, width, color=_RESTORED)
        legend["order restored"] = _RESTORED
    axes.legend(handles=[Patch(color=c, label=says) for says, c in legend.items()], fontsize=8)
    axes.axhline(100 * order["threshold"], color="black", linestyle="--", linewidth=1)
    axes.set_xticks(places, list(runs), fontsize=8)
    axes.set_xlabel("run")
    axes.set_ylabel("steps no movement explains, %")
    batch = order["batch_rows"]
    axes.set_title(
        f"{len(order['shuffled_runs'])} of {len(order['run'])} runs are not stored in time order"
        + (f"; most jumps lie {batch:.0f} rows apart" if batch else "")
        + f"\n(dashed: limit {100 * order['threshold']:g} % of a run's steps)",
        fontsize=10,
    )
    axes.grid(axis="y", alpha=0.3)
