"""One picture of a decision: challenger against champion, run by run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toolwear.evaluation.metrics import LEVEL
from toolwear.release.comparison import Comparison
from toolwear.release.decisions import Outcome
from toolwear.release.gate import Check


def write(
    path: Path, checks: Sequence[Check], comparison: Comparison | None, outcome: Outcome
) -> None:
    """Write the picture as PNG."""
    if comparison is None:
        figure = Figure(figsize=(8, 0.45 * len(checks) + 1.2), layout="constrained")
        _draw_checks(figure.subplots(), checks)
    else:
        figure = Figure(figsize=(9, 0.3 * comparison.runs + 2.4), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _draw_runs(left, comparison)
        _draw_difference(right, comparison)
    figure.suptitle(f"Decision: {outcome.value}")
    figure.savefig(path, dpi=110)


def _draw_checks(axes: Axes, checks: Sequence[Check]) -> None:
    axes.set_axis_off()
    axes.set_title("Checks of the challenger (there is no comparison with a champion)", fontsize=10)
    for row, check in enumerate(checks):
        y = 1 - (row + 0.5) / len(checks)
        mark, colour = ("passed", "#1b7837") if check.passed else ("failed", "#b2182b")
        axes.text(0.0, y, mark, color=colour, weight="bold", va="center")
        axes.text(0.12, y, check.sentence, va="center", fontsize=9, wrap=True)


def _draw_runs(axes: Axes, comparison: Comparison) -> None:
    names = list(comparison.per_run)
    figures = np.array([comparison.per_run[name][:2] for name in names])
    y = np.arange(len(names))
    axes.hlines(y, figures.min(axis=1), figures.max(axis=1), color="#999999")
    axes.plot(figures[:, 1], y, "o", color="#4393c3", label="champion", fillstyle="none")
    axes.plot(figures[:, 0], y, "o", color="#b35806", label="challenger", markersize=4)
    labels = [f"{name} (n={comparison.per_run[name][2]:,})" for name in names]
    axes.set_yticks(y, labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on the same held-back rows")
    axes.set_ylabel("run")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=8, frameon=False)


def _draw_difference(axes: Axes, comparison: Comparison) -> None:
    low, high = comparison.interval
    middle = comparison.difference
    axes.errorbar(
        [middle], [0], xerr=[[middle - low], [high - middle]], fmt="o", color="#b35806", capsize=5
    )
    axes.axvline(0, color="#666666", linewidth=1)
    axes.set_yticks([])
    axes.set_xlabel("challenger minus champion, accuracy")
    axes.set_title(
        f"{middle:+.4f}, {LEVEL:.0%} interval {low:+.4f} to {high:+.4f}\n"
        f"({comparison.rows:,} rows, {comparison.runs} runs resampled)",
        fontsize=9,
    )
