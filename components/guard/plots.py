"""The picture of the check: what was found of each run, against its limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from toolwear.common.thresholds import Guard

MOST_RUNS = 60  # drawn; of more, those that stand out most
_COLOURS = ("#2563a8", "#c2570c")  # of the two classes


def write(
    path: Path, runs: Sequence[dict[str, Any]], limits: Guard, classes: Sequence[str]
) -> None:
    """Draw three figures of each run.

    Args:
        path: PNG file to write.
        runs: dicts with `run`, `condition`, `contradicted`, `share` and `level_distance`.
        limits: the thresholds.
        classes: names of the two.
    """
    colours = dict(zip(classes, _COLOURS, strict=True))
    worst = sorted(runs, key=lambda run: -max(run["contradicted"] or 0, run["share"]))[:MOST_RUNS]
    shown = [run for run in runs if run in worst]
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    top, middle, bottom = figure.subplots(3, sharex=True)
    most = max(limits.dominating_share, limits.dominating_times / len(runs))
    _bars(top, shown, "contradicted", limits.label_disagreement, colours)
    top.set_title("Labels that a forest contradicts (dashed: the limit over all rows)", loc="left")
    top.yaxis.set_major_formatter(PercentFormatter(1))
    _bars(middle, shown, "share", most, colours)
    middle.set_title("Share of all rows", loc="left")
    middle.yaxis.set_major_formatter(PercentFormatter(1))
    _bars(bottom, shown, "level_distance", limits.level_distance, colours)
    bottom.set_title("How far a signal lies outside the other runs' range", loc="left")
    bottom.set_ylabel("widths of the range")
    bottom.set_xticks(range(len(shown)), [run["run"] for run in shown])
    bottom.tick_params(axis="x", rotation=90 if len(shown) > 30 else 0)
    some = "" if len(shown) == len(runs) else f" of {len(runs):,}, those that stand out most"
    bottom.set_xlabel(f"run (n = {len(shown)}{some})")
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in colours.items()],
        frameon=False,
        ncols=2,
        loc="outside upper right",
    )
    figure.savefig(path, dpi=110)


def _bars(
    axes: Axes, runs: Sequence[dict[str, Any]], key: str, limit: float, colours: Mapping[str, str]
) -> None:
    values = [run[key] or 0 for run in runs]
    axes.bar(range(len(runs)), values, color=[colours[run["condition"]] for run in runs])
    axes.axhline(limit, color="#444", linestyle="--", linewidth=1)
    axes.set_ylim(0, 1.1 * max(limit, *values))
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
