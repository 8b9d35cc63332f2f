"""Pictures of a window beside its reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serving.monitor.judge import Verdict
from serving.monitor.kinds import Kind, Result
from serving.monitor.state import Window
from serving.monitor.tally import QualityTally, RegimeTally
from toolwear.model.drift import CONFIDENCE_EDGES, Reference, Regime

_BEFORE, _NOW = "#8c8c8c", "#2563a8"
COLOURS = {
    Result.OK: "#1a7f4b",
    Result.WARNING: "#b08a3e",
    Result.ALARM: "#c2410c",
    Result.UNCALIBRATED: "#8c8c8c",
    Result.NO_REFERENCE: "#8c8c8c",
}
_ACROSS = 4


def signals(known: Regime, tally: RegimeTally, verdict: Verdict) -> Figure:
    """Draw each load signal's shares in the bins of the reference."""
    names = list(known.signals)
    down = -(-len(names) // _ACROSS)
    figure = Figure(figsize=(10, 2.5 * down + 0.5))
    panels = figure.subplots(down, min(_ACROSS, len(names)), squeeze=False).ravel()
    figure.subplots_adjust(left=0.06, right=0.99, top=1 - 0.6 / (2.5 * down + 0.5), bottom=0.12)
    figure.subplots_adjust(wspace=0.2, hspace=0.55)
    for axes, name in zip(panels, names, strict=False):
        histogram = known.signals[name]
        counts = np.array(tally.counts[name])
        _pair(axes, histogram.shares, counts / max(1, counts.sum()))
        edges = [f"{edge:.3g}" for edge in histogram.edges]
        axes.set_xticks(np.arange(len(edges))[::2] + 0.5, edges[::2], fontsize=7)
        axes.set_title(f"{name}: PSI {verdict.scores[name]:.2f}", loc="left", fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    _legend(figure, panels[0])
    return figure


def sureness(known: Regime, tally: RegimeTally) -> Figure:
    """Draw how sure the model is of its answers."""
    figure = Figure(figsize=(7, 2.8))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.1, right=0.99, top=0.88, bottom=0.18)
    counts = np.array(tally.sure)
    _pair(axes, known.confidence.shares, counts / max(1, counts.sum()))
    ends = ["0.5", *(f"{edge:g}" for edge in CONFIDENCE_EDGES), "1"]
    axes.set_xticks(np.arange(len(ends)) - 0.5, ends)
    axes.set_xlabel("probability of the answer that the model leans to")
    _legend(figure, axes)
    return figure


def leaning(known: Regime, verdict: Verdict) -> Figure:
    """Draw each feature's share of the attribution."""
    names = sorted(known.attribution, key=lambda name: known.attribution[name])
    axes, figure = _rows(names)
    place = np.arange(len(names))
    before = [known.attribution[name] for name in names]
    axes.barh(place + 0.2, before, 0.38, color=_BEFORE, label="training")
    now = [verdict.scores[name] for name in names]
    axes.barh(place - 0.2, now, 0.38, color=_NOW, label="this window")
    axes.set_yticks(place, names, fontsize=8)
    axes.set_xlabel("share of the mean absolute SHAP value")
    _legend(figure, axes)
    return figure


def ranges(reference: Reference, tally: QualityTally) -> Figure:
    """Draw the range of each feature in widths of its range in training."""
    names = list(reversed(reference.columns))
    axes, figure = _rows(names)
    for place, name in enumerate(names):
        known, now = reference.columns[name], tally.columns[name]
        width = max(known.maximum - known.minimum, 1e-12)
        axes.plot([0, 1], [place, place], color=_BEFORE, linewidth=7, alpha=0.45)
        if now.minimum is not None and now.maximum is not None:
            ends = (np.array([now.minimum, now.maximum]) - known.minimum) / width
            shown = np.clip(ends, -1, 2)
            axes.plot(shown, [place, place], color=_NOW, linewidth=2.5, marker="|")
            if not np.array_equal(shown, ends):
                axes.text(2.03, place, "beyond", fontsize=7, va="center", color=_NOW)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlim(-1.05, 2.3)
    axes.set_xlabel("0: smallest, 1: largest value in training (grey); this window in blue")
    _clean(axes)
    return figure


def stories(windows: Sequence[Window], kinds: Sequence[Kind]) -> Figure:
    """Draw the score of each kind over windows, with the threshold of each."""
    figure = Figure(figsize=(8, 1.1 * len(kinds) + 0.9))
    figure.subplots_adjust(left=0.12, right=0.98, top=1 - 0.4 / (1.1 * len(kinds) + 0.9))
    panels = figure.subplots(len(kinds), squeeze=False)[:, 0]
    shown: dict[str, Any] = {}
    for axes, kind in zip(panels, kinds, strict=True):
        verdicts = [window.verdicts[kind] for window in windows]
        place = np.arange(len(verdicts))
        axes.step(place, [v.threshold for v in verdicts], where="mid", color="#555", linestyle=":")
        axes.plot(place, [v.score for v in verdicts], color="#bbb", linewidth=1)
        for result in dict.fromkeys(verdict.result for verdict in verdicts):
            chosen = [at for at, verdict in enumerate(verdicts) if verdict.result == result]
            scores = [verdicts[at].score for at in chosen]
            (shown[str(result).replace("_", " ")],) = axes.plot(
                chosen, scores, "o", color=COLOURS[result], markersize=4
            )
        axes.set_ylabel(kind, fontsize=8)
        axes.set_xticks([])
        axes.set_xlim(-0.5, max(5, len(place)) - 0.5)
        if kind != Kind.CONCEPT:
            axes.set_ylim(bottom=0)
        _clean(axes)
    panels[-1].set_xlabel("windows, the newest at the right; dotted: the threshold", fontsize=8)
    figure.legend(shown.values(), shown, loc="upper left", ncols=5, frameon=False, fontsize=8)
    return figure


def _rows(names: Sequence[str]) -> tuple[Axes, Figure]:
    """Return axes with room for a name on each row."""
    height = 0.3 * len(names) + 1
    figure = Figure(figsize=(8, height))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.25, right=0.98, top=1 - 0.35 / height, bottom=0.5 / height)
    return axes, figure


def _pair(axes: Axes, before: Sequence[float], now: np.ndarray) -> None:
    place = np.arange(len(before))
    axes.bar(place - 0.2, before, 0.38, color=_BEFORE, label="training")
    axes.bar(place + 0.2, now, 0.38, color=_NOW, label="this window")
    _clean(axes)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=2, frameon=False, fontsize=8)
    _clean(axes)


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
