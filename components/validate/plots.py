"""Pictures of what the checks found of each run, as SVG for the page."""

from __future__ import annotations

import io

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from components.validate.summaries import LAYER_AGREEMENT, ROWS_FOUND
from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet

MOST_RUNS = 60  # drawn; of more runs those with the highest rates are shown
_COLOURS = {schema.UNWORN: "#2563a8", schema.WORN: "#c2570c"}


def fault_rates(runs: pd.DataFrame, dataset: DataSet) -> str:
    """Return an SVG of the share of each run's rows with a known sensor fault."""
    titles = {
        fault.column: f"{fault.column} {'is' if fault.value is None else 'reads'} {fault.told}"
        for fault in dataset.faults
    }
    rates = runs[list(titles)].div(runs[ROWS_FOUND].where(runs[ROWS_FOUND] > 0), axis=0)
    worst = rates.max(axis=1).nlargest(MOST_RUNS).index
    shown = runs.loc[runs.index.isin(worst)]
    figure = _figure(len(titles))
    panels = figure.subplots(len(titles), sharex=True, squeeze=False)[:, 0]
    for axes, (column, title) in zip(panels, titles.items(), strict=True):
        total = int(runs[column].sum())
        _bars(axes, shown, rates.loc[shown.index, column])
        axes.set_title(f"{title}: {total:,} of {int(runs[ROWS_FOUND].sum()):,} rows", loc="left")
        axes.set_ylabel("share of rows")
    return _finish(figure, shown, runs)


def layer_agreement(runs: pd.DataFrame, minimum: float) -> str:
    """Return an SVG of how well the named layer fits the depth in each run."""
    worst = runs[LAYER_AGREEMENT].fillna(2).nsmallest(MOST_RUNS).index
    shown = runs.loc[runs.index.isin(worst)]
    figure = _figure(1)
    axes = figure.subplots()
    _bars(axes, shown, shown[LAYER_AGREEMENT])
    axes.axhline(minimum, color="#444", linestyle="--", linewidth=1)
    axes.set_title(
        f"Rows at a layer's depth that are named for that layer (dashed: {minimum * 100:g} %)",
        loc="left",
    )
    axes.set_ylabel("share of rows")
    return _finish(figure, shown, runs)


def _figure(panels: int) -> Figure:
    return Figure(figsize=(10, 0.7 + 1.9 * panels), layout="constrained")


def _bars(axes: Axes, runs: pd.DataFrame, values: pd.Series) -> None:
    colours = [_COLOURS.get(condition, "#888") for condition in runs[schema.CONDITION]]
    axes.bar(range(len(runs)), values, color=colours)
    axes.set_xticks(range(len(runs)), list(runs[schema.RUN_ID]))
    axes.set_ylim(0, 1.05)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)


def _finish(figure: Figure, shown: pd.DataFrame, runs: pd.DataFrame) -> str:
    last = figure.axes[-1]
    some = "" if len(shown) == len(runs) else f" of {len(runs):,}, those that stand out most"
    last.set_xlabel(f"run (n = {len(shown)}{some})")
    last.tick_params(axis="x", rotation=90 if len(shown) > 30 else 0)
    patches = [Patch(color=colour, label=name) for name, colour in _COLOURS.items()]
    figure.axes[0].legend(
        handles=patches, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1)
    )
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "toolwear", "svg.fonttype": "none"}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
