"""Pictures of the figures: what is seen, how many, and how sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import precision_recall_curve, roc_curve

from components.evaluate.plots_runs import COLOURS, clean, save
from toolwear.dataset import schema
from toolwear.evaluation.names import model_name

_WRAPPED = 110  # characters of a sentence in a panel
_QUESTION = {
    schema.KNOWN_RUNS: "Known runs: rows held back",
    schema.NEW_RUN: "New run: one left out",
    schema.NEW_SETTING: "New setting: all its runs left out",
}


def accuracy(
    protocols: Mapping[str, Mapping[str, Any]], left_out: Mapping[str, str], path: Path
) -> None:
    """Draw every model's accuracy with its interval, by protocol, beside a published one.

    The panel of a question that was not asked says why.
    """
    sizes = [max(1.5, len(protocols[protocol])) for protocol in schema.PROTOCOLS]
    figure = Figure(figsize=(9.5, 1.6 + 0.36 * sum(sizes)), layout="constrained")
    panels = figure.subplots(len(sizes), sharex=True, height_ratios=sizes)
    for axes, protocol in zip(panels, schema.PROTOCOLS, strict=True):
        models = protocols[protocol]
        names = [name for name in schema.MODELS if name in models][::-1]
        for place, name in enumerate(names):
            _accuracy_row(axes, place, models[name], COLOURS[name])
        n, unit = max(
            ((models[name]["n"], models[name]["unit"]) for name in names), default=(0, "")
        )
        counted = "not asked" if protocol in left_out else f"n = {n:,} {unit}"
        axes.set_title(f"{_QUESTION[protocol]} ({counted})", loc="left", fontsize=10)
        if protocol in left_out:
            axes.text(0.01, 0, fill(left_out[protocol], _WRAPPED), va="center", fontsize=8)
        axes.set_yticks(range(len(names)), [model_name(name) for name in names])
        axes.set_ylim(-0.6, max(1, len(names)) - 0.4)
        if names:
            axes.axvline(0.5, color="#999", linewidth=0.8, linestyle=":")
        clean(axes)
    panels[-1].set_xlim(0, 1.13)
    panels[-1].set_xticks(np.arange(0, 1.01, 0.2))
    panels[-1].xaxis.set_major_formatter(PercentFormatter(1))
    beside = any(f["published"] for models in protocols.values() for f in models.values())
    diamonds = "; hollow diamonds: published" if beside else ""
    panels[-1].set_xlabel(f"right (bars: 95 % interval{diamonds})")
    figure.suptitle(
        "How much is judged right: rows of known runs, and whole runs that were not seen",
        fontsize=12,
    )
    save(figure, path)


def _accuracy_row(axes: Axes, place: int, figures: Mapping[str, Any], colour: str) -> None:
    value, (low, high) = figures["accuracy"], figures["interval"]["accuracy"]
    axes.plot([low, high], [place, place], color=colour, linewidth=4, alpha=0.35)
    axes.plot(value, place, "o", color=colour, markersize=6)
    if figures["published"]:
        axes.plot(
            figures["published"]["accuracy"],
            place,
            "D",
            markerfacecolor="none",
            markeredgecolor="black",
            markersize=8,
        )
    runs = figures.get("runs")
    text = f"{runs['correct']} of {runs['of']}" if runs else f"{value:.2%}"
    axes.text(1.12, place, text, va="center", ha="right", fontsize=9)


def curves(rows: pd.DataFrame, folder: Path) -> None:
    """Draw ROC and precision-recall of the models on the published split."""
    roc, recall = _square(), _square()
    left, right = roc.subplots(), recall.subplots()
    for name in [name for name in schema.MODELS if name in set(rows["model"])]:
        part = rows[rows["model"] == name]
        y, p = part["y"].to_numpy(), part["p"].to_numpy()
        if len(set(y.tolist())) < 2:
            continue
        style: dict[str, Any] = {
            "color": COLOURS[name],
            "label": model_name(name),
            "linewidth": 1.8,
        }
        false, true, _ = roc_curve(y, p)
        left.plot(false, true, **style)
        precision, found, _ = precision_recall_curve(y, p)
        right.step(found, precision, where="post", **style)
    n, worn = rows["sample_id"].nunique(), rows.drop_duplicates("sample_id")["y"].mean()
    left.plot([0, 1], [0, 1], color="#999", linewidth=0.8, linestyle=":")
    left.set(xlabel="unworn rows called worn", ylabel="worn rows called worn")
    left.set_title(f"ROC on known runs (n = {n:,} rows held back)", loc="left", fontsize=11)
    right.axhline(worn, color="#999", linewidth=0.8, linestyle=":")
    right.set(xlabel="recall of worn", ylabel="precision of worn", ylim=(0, 1.02))
    right.set_title(f"Precision and recall on known runs (n = {n:,})", loc="left", fontsize=11)
    for figure, axes, name in ((roc, left, "roc"), (recall, right, "precision_recall")):
        axes.legend(frameon=False, fontsize=9)
        clean(axes)
        save(figure, folder / f"{name}.png")


def calibration(models: Mapping[str, Any], path: Path) -> None:
    """Draw how often rows called worn with a probability are worn."""
    figure = _square()
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999", linewidth=0.8, linestyle=":", label="ideal")
    names = (schema.DECISION_TREE, schema.RANDOM_FOREST, schema.AUTO_SKLEARN)
    for shift, name in zip((-0.01, 0, 0.01), names, strict=True):
        if name not in models:
            continue
        bins = models[name]["bins"]
        x = np.array([item["mean_p"] for item in bins])
        y = np.array([item["worn_share"] for item in bins])
        ends = np.array([item["interval"] for item in bins])
        axes.errorbar(
            x + shift,  # side by side
            y,
            yerr=np.abs(ends.T - y),
            fmt="o",
            color=COLOURS[name],
            markersize=5,
            capsize=2,
            label=f"{model_name(name)} (ECE {models[name]['ece']:.3f})",
        )
    n = next(iter(models.values()))["n"]
    axes.set(xlabel="mean probability of worn in the bin", ylabel="share that is worn")
    axes.set_title(
        f"Calibration on known runs (n = {n:,} rows, 95 % intervals)", loc="left", fontsize=11
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    clean(axes)
    save(figure, path)


def coverage(content: Mapping[str, Any], path: Path) -> None:
    """Draw the accuracy of the answers against their share, and where the chosen rule stands."""
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    points, test, band = content["coverage_curve"], content["test"], content["band"]
    share = [point["coverage"] for point in points]
    axes.plot(share, [point["accuracy"] for point in points], color=COLOURS[schema.AUTO_SKLEARN])
    axes.fill_between(
        share,
        [point["interval"][0] for point in points],
        [point["interval"][1] for point in points],
        color=COLOURS[schema.AUTO_SKLEARN],
        alpha=0.15,
        linewidth=0,
    )
    if test["answered"]:
        axes.plot(
            test["coverage"],
            test["accuracy"],
            "o",
            color="black",
            label=f"not sure from {band['low']:g} to {band['high']:g} or outside the envelope: "
            f"{test['accuracy']:.2%} of {test['answered']:,} answers\n"
            f"(target {'reached' if band['reached'] else 'missed'} where the band was chosen: "
            f"lower bound {band['lower_bound']:.2%})",
        )
    axes.axhline(band["target"], color="#999", linewidth=0.8, linestyle=":")
    axes.text(
        axes.get_xlim()[0], band["target"], f" target {band['target']:.1%}", va="bottom", fontsize=8
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.set(xlabel="share of rows that are answered", ylabel="accuracy of the answers")
    axes.set_title(
        f"Saying 'not sure' on known runs (n = {test['n']:,} test rows, shaded: 95 % interval)",
        loc="left",
        fontsize=10,
    )
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    clean(axes)
    save(figure, path)


def confusion(rows: pd.DataFrame, path: Path) -> None:
    """Draw the confusion matrices of the models on the published split."""
    names = [
        name
        for name in (schema.DECISION_TREE, schema.RANDOM_FOREST, schema.AUTO_SKLEARN)
        if name in set(rows["model"])
    ]
    figure = Figure(figsize=(3.4 * len(names) + 0.4, 3.9), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        part = rows[rows["model"] == name]
        counts = confusion_counts(part["y"].to_numpy(), part["p"].to_numpy())
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.2)
        for (truth, said), count in np.ndenumerate(counts):
            axes.text(
                said,
                truth,
                f"{count:,}\n{shares[truth, said]:.2%}",
                ha="center",
                va="center",
                color="white" if shares[truth, said] > 0.6 else "black",
            )
        axes.set_xticks([0, 1], schema.CLASSES)
        axes.set_yticks([0, 1], schema.CLASSES, rotation=90, va="center")
        axes.set(xlabel="said", ylabel="is")
        axes.set_title(model_name(name), fontsize=10)
    n = rows["sample_id"].nunique()
    figure.suptitle(f"Confusion on known runs (n = {n:,} rows held back)", fontsize=11)
    save(figure, path)


def confusion_counts(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return rows by class (first axis) and answer (second), shape (2, 2)."""
    counts: np.ndarray = np.zeros((2, 2), dtype=np.int64)
    np.add.at(counts, (y.astype(int), (p > 0.5).astype(int)), 1)
    return counts


def slices(found: Mapping[str, Sequence[Mapping[str, Any]]], model: str, path: Path) -> None:
    """Draw accuracy within each setting, phase and run."""
    groups = list(found.items())
    figure = Figure(figsize=(4.3 * len(groups), 5.2), layout="constrained")
    for axes, (by, items) in zip(figure.subplots(1, len(groups)), groups, strict=True):
        for place, item in enumerate(items[::-1]):
            low, high = item["interval"]
            axes.plot([low, high], [place, place], color=COLOURS[model], linewidth=4, alpha=0.35)
            axes.plot(item["accuracy"], place, "o", color=COLOURS[model])
        axes.set_yticks(
            range(len(items)), [f"{item['slice']}  (n={item['n']:,})" for item in items[::-1]]
        )
        axes.tick_params(axis="y", labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        title = "setting (mm/s / bar)" if by == schema.SETTING else by
        axes.set_title(f"by {title}", loc="left", fontsize=10)
        clean(axes)
    figure.suptitle(
        f"Where {model_name(model)} errs on known runs (bars: 95 % interval)", fontsize=11
    )
    save(figure, path)


def _square() -> Figure:
    return Figure(figsize=(5.6, 5.2), layout="constrained")
