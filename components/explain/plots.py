"""Pictures of the model as a whole: SHAP summary, ICE and PDP, surrogate tree.

Every function returns a matplotlib Figure; titles carry n and the figures of quality.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from toolwear.explain.methods.ice_pdp import Curves
from toolwear.explain.methods.subject import Envelope

BLUE, ORANGE, GREY = "#1f5a92", "#d1661a", "#8a8f98"  # apart also for the colour-blind
WORN_MAP = "coolwarm"


def shap_summary(
    names: tuple[str, ...], values: np.ndarray, rows: np.ndarray, reference: dict[str, Any]
) -> Figure:
    """Return mean |SHAP| with its interval, and each row's value coloured by the feature.

    Args:
        names: of the features.
        values: SHAP values, (rows, features), in units of P(worn).
        rows: the rows they belong to, (rows, features).
        reference: what `findings.importance` returned.
    """
    features = reference["features"]
    order = sorted(range(len(names)), key=lambda j: features[names[j]]["mean"])
    figure = Figure(figsize=(12, 0.42 * len(names) + 1.9), layout="constrained")
    bars, swarm = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.5))
    ticks = range(len(order))
    means = [features[names[j]]["mean"] for j in order]
    errors = [1.96 * features[names[j]]["standard_error"] for j in order]
    bars.barh(ticks, means, xerr=errors, color=BLUE, error_kw={"ecolor": "#333", "capsize": 2})
    bars.set_yticks(ticks, [f"{names[j]}  {features[names[j]]['share']:.0%}" for j in order])
    bars.set_xlabel("mean |SHAP|, in P(worn); bar: 95 % interval over rows")
    bars.set_title("Feature attributions (share of all)", fontsize=10)
    jitter = np.random.default_rng(0)
    for place, j in enumerate(order):
        ranks = rows[:, j].argsort(kind="stable").argsort() / max(1, len(rows) - 1)
        ranks = np.array([ranks[rows[:, j] == value].mean() for value in rows[:, j]])
        swarm.scatter(
            values[:, j],
            place + _spread(values[:, j], jitter),
            c=ranks,
            cmap=WORN_MAP,
            norm=Normalize(0, 1),
            s=9,
            linewidths=0,
        )
    swarm.axvline(0, color=GREY, linewidth=0.8)
    swarm.set_xlabel(
        f"SHAP value: push of P(worn) away from the mean {reference['base_value']:.2f}"
    )
    swarm.set_title("Each dot one row; blue: low value of the feature, red: high", fontsize=10)
    figure.suptitle(
        f"SHAP over {reference['rows']} test rows of known runs, each walked from "
        f"{reference['settings']['background_rows']} background rows"
    )
    return figure


def _spread(values: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return vertical offsets, wider where many values lie close together."""
    counts, edges = np.histogram(values, bins=40)
    density = counts[np.clip(np.digitize(values, edges) - 1, 0, len(counts) - 1)]
    return draw.uniform(-0.38, 0.38, len(values)) * density / density.max()


def ice_pdp(
    found: dict[str, Curves], pdp: Envelope, shares: dict[str, float], lines: int = 40
) -> Figure:
    """Return one panel a feature, the most important first: thin ICE curves and their mean.

    Args:
        found: curves by feature.
        pdp: the envelope that they became.
        shares: of the attribution, by feature.
        lines: ICE curves drawn a panel.
    """
    names = sorted(found, key=lambda name: -shares[name])
    columns = min(4, len(names))
    panels = -(-len(names) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.5 * panels + 0.8), layout="constrained")
    grid = figure.subplots(panels, columns, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        _dependence(axes, found[name], pdp["data"]["curves"][name], lines)
        axes.set_title(f"{name}\nswing {pdp['data']['curves'][name]['swing']:.2f}", fontsize=9)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("P(worn)")
    quality = pdp["quality"]
    figure.suptitle(
        f"PDP (blue, mean of {quality['rows']} training rows, 95 % band) and ICE (grey, "
        f"{min(lines, quality['rows'])} of them); most important first\n"
        f"x: up to {quality['grid_points']} recorded values at even distances; "
        f"largest distance between the mean curves of two halves of the rows: "
        f"{quality['halves_gap']:.2f}",
        fontsize=11,
    )
    return figure


def _dependence(axes: Axes, curves: Curves, data: dict[str, Any], lines: int) -> None:
    # By rank of the grid, not by value: bands a millimetre apart vanish beside one far outlier.
    x = np.arange(len(curves.grid))
    some = np.linspace(0, len(curves.individual) - 1, min(lines, len(curves.individual)), dtype=int)
    for curve in curves.individual[some]:
        axes.plot(x, curve, color=GREY, linewidth=0.5, alpha=0.4)
    error = 1.96 * np.array(data["standard_error"])
    axes.fill_between(x, curves.average - error, curves.average + error, color=BLUE, alpha=0.25)
    axes.plot(x, curves.average, color=BLUE, linewidth=2, marker=".", markersize=4)
    shown = np.unique(np.linspace(0, len(x) - 1, min(6, len(x)), dtype=int))
    axes.set_xticks(shown, [_short(curves.grid[k], curves.grid) for k in shown])
    axes.set_ylim(-0.03, 1.03)
    axes.tick_params(labelsize=8)


def _short(value: float, grid: np.ndarray) -> str:
    return "≈0" if 0 < abs(value) < 1e-9 * np.abs(grid).max() else f"{value:.4g}"


def surrogate_tree(surrogate: Envelope) -> Figure:
    """Return the tree, root on the left; a node's colour is its mean P(worn)."""
    nodes, quality = surrogate["data"]["nodes"], surrogate["quality"]
    figure = Figure(
        figsize=(2.6 * quality["depth"] + 4.2, 0.5 * quality["leaves"] + 1.6), layout="constrained"
    )
    axes = figure.add_subplot()
    _draw_node(axes, nodes, 0, 0, [0.0], max(1, nodes[0]["rows"]))
    axes.set_xlim(-0.6, quality["depth"] + 0.9)
    axes.set_ylim(quality["leaves"] - 0.4, -0.8)
    axes.axis("off")
    low, high = quality["interval"]
    r2 = "" if quality["r2"] is None else f", R² of P(worn) {quality['r2']:.2f}"
    figure.suptitle(
        f"Surrogate tree: says what the model says on {quality['fidelity']:.1%} of "
        f"{quality['rows']} test rows (95 % interval over rows {low:.1%} to {high:.1%}){r2}\n"
        "upper branch: condition holds; number: mean P(worn) of the model and share of rows",
        fontsize=11,
    )
    return figure


def _draw_node(
    axes: Axes,
    nodes: list[dict[str, Any]],
    index: int,
    depth: int,
    next_leaf: list[float],
    all_rows: int,
) -> float:
    """Draw a node and what hangs from it; return its height."""
    node = nodes[index]
    share = f"{node['worn']:.2f}  ({node['rows'] / all_rows:.1%})"
    if node["feature"] is None:
        height, next_leaf[0] = next_leaf[0], next_leaf[0] + 1
        label = share
    else:
        children = [
            _draw_node(axes, nodes, node[side], depth + 1, next_leaf, all_rows)
            for side in ("left", "right")
        ]
        height = float(np.mean(children))
        for child in children:
            axes.plot([depth, depth + 1], [height, child], color=GREY, linewidth=1, zorder=1)
        label = f"{textwrap.shorten(node['feature'], 26)}\n≤ {node['threshold']:.5g}?  {share}"
    pale = 0.35 + 0.3 * node["worn"]  # text stays readable on every colour
    axes.text(
        depth,
        height,
        label,
        ha="center",
        va="center",
        fontsize=8,
        zorder=2,
        bbox={"boxstyle": "round", "facecolor": _colour(pale), "edgecolor": GREY},
    )
    return height


def _colour(value: float) -> tuple[float, float, float, float]:
    from matplotlib import colormaps

    red, green, blue, alpha = colormaps[WORN_MAP](value)
    return float(red), float(green), float(blue), float(alpha)
