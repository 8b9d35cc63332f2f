"""Pictures of single predictions: SHAP beside LIME, and the table of anchor rules."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from components.explain.plots import BLUE, GREY, ORANGE
from toolwear.dataset.schema import CLASSES
from toolwear.explain.methods.subject import Envelope


def shap_beside_lime(row: dict[str, Any], shap: Envelope, lime: Envelope, place: int) -> Figure:
    """Return both methods' contributions to one prediction.

    Args:
        row: entry of the manifest's `rows`: sample_id, kind, label.
        shap: the envelope with this row at `place`.
        lime: likewise.
        place: position of the row in both.
    """
    names = shap["meta"]["features"]
    ours, theirs = shap["data"]["rows"][place], lime["data"]["rows"][place]
    one, other = np.array(ours["values"]), np.array(theirs["contributions"])
    order = np.argsort(np.abs(one), kind="stable")
    figure = Figure(figsize=(12, 0.36 * len(names) + 2.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _bars(left, one[order], 1.96 * np.array(ours["standard_error"])[order])
    _bars(right, other[order], None)
    left.set_yticks(range(len(order)), [f"{names[j]} = {ours['features'][j]:.5g}" for j in order])
    base = shap["data"]["base_value"]
    left.set_title(
        f"SHAP: {base:.2f} (mean) {one.sum():+.2f} = {base + one.sum():.2f}", fontsize=10
    )
    right.set_title(
        f"LIME: linear model says {theirs['local_prediction']:.2f}, "
        f"model {ours['prediction']:.2f}; local R² {theirs['r2']:.2f}\n"
        f"reseeded: top-5 Jaccard {theirs['jaccard_top5']:.2f}, "
        f"rank correlation {theirs['rank_correlation']:.2f}"
        + ("" if theirs["faithful"] else " (not faithful here)"),
        fontsize=9,
    )
    left.set_xlabel("contribution to P(worn); line: 95 % of the sampling error")
    right.set_xlabel("contribution of the linear model, slope times distance from the mean")
    figure.suptitle(
        f"Sample {row['sample_id']} ({row['kind']}), P(worn) = {ours['prediction']:.3f}, "
        f"recorded as {row['label']} (orange: towards worn, blue: towards unworn)",
        fontsize=11,
    )
    return figure


def _bars(axes: Axes, values: np.ndarray, errors: np.ndarray | None) -> None:
    colours = [ORANGE if value > 0 else BLUE for value in values]
    axes.barh(range(len(values)), values, xerr=errors, color=colours, error_kw={"ecolor": "#333"})
    axes.axvline(0, color=GREY, linewidth=0.8)


def anchor_table(rows: list[dict[str, Any]], anchor: Envelope) -> Figure:
    """Return the rules as a table, one line a prediction.

    Args:
        rows: entries of the manifest's `rows`, in the envelope's order.
        anchor: the envelope.
    """
    found, quality = anchor["data"]["rows"], anchor["quality"]
    lines = [_line(row, rule) for row, rule in zip(rows, found, strict=True)]
    header = ["sample", "kind", "P(worn)", "rule", "precision, fresh\n[95 %]", "real rows\ncovered"]
    heights = [2] + [line[3].count("\n") + 1 for line in lines]
    figure = Figure(
        figsize=(13, 0.21 * sum(heights) + 0.13 * len(heights) + 1), layout="constrained"
    )
    axes = figure.add_subplot()
    axes.axis("off")
    table = axes.table(
        [header, *lines],
        colWidths=[0.07, 0.08, 0.06, 0.5, 0.14, 0.15],
        cellLoc="left",
        bbox=Bbox.unit(),
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    total = sum(h + 0.6 for h in heights)
    for (line, _), cell in table.get_celld().items():
        cell.set_height((heights[line] + 0.6) / total)
        cell.set_edgecolor("#c8ccd2")
        cell.PAD = 0.06 / (cell.get_width() * 13)  # inches
        if line == 0:
            cell.set_text_props(weight="bold")
            cell.set_facecolor("#eef1f5")
        elif not found[line - 1]["meets_threshold"]:
            cell.set_text_props(color=GREY)
    figure.suptitle(
        f"Anchor rules: {quality['meets_threshold']} of {quality['rows']} keep a precision of "
        f"{quality['threshold']:.0%} on fresh samples of {quality['held_out_rows']} test rows "
        f"(grey: do not)",
        fontsize=11,
    )
    return figure


def _line(row: dict[str, Any], rule: dict[str, Any]) -> list[str]:
    low, high = rule["interval"]
    real = rule["held_out"]
    share = "none" if real["precision"] is None else f"{real['precision']:.0%}"
    text = textwrap.fill(f"{rule['text']}  →  {CLASSES[rule['label']]}", 78)
    return [
        row["sample_id"],
        row["kind"],
        f"{rule['prediction']:.3f}",
        text,
        f"{rule['precision']:.3f} [{low:.2f}, {high:.2f}]",
        f"{real['covered']} ({rule['coverage']:.1%}), {share} right",
    ]
