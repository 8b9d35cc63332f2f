"""Pictures of verdicts on whole runs and of the test against chance; what all pictures share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toolwear.dataset import schema
from toolwear.evaluation.names import model_name

COLOURS = {
    schema.MAJORITY: "#8c8c8c",
    schema.SETTINGS_ONLY: "#b08a3e",
    schema.CONTEXT: "#a16207",
    schema.DECISION_TREE: "#2563a8",
    schema.RANDOM_FOREST: "#1a7f4b",
    schema.LOGISTIC: "#0e7490",
    schema.NESTED: "#7c3aed",
    schema.AUTO_SKLEARN: "#c2410c",
}
HELD_OUT = (schema.NEW_RUN, schema.NEW_SETTING)
_DPI = 110
_KINDS = {"free": "over all runs", "within_setting": "among runs of one setting"}


def clean(axes: Axes) -> None:
    """Take away what tells nothing."""
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})


def verdicts(protocols: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw the mean probability of each run that was left out, by model and protocol."""
    shown = [p for p in HELD_OUT if protocols[p]]
    runs = sorted(
        {
            (item["label"] == schema.WORN, item[schema.RUN_ID])
            for protocol in shown
            for model in protocols[protocol].values()
            for item in model["per_run"]
        }
    )
    place = {run: number for number, (_, run) in enumerate(runs)}
    figure = Figure(figsize=(10, 3.1 * len(shown) + 0.9), layout="constrained")
    panels = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
    handles: dict[str, Any] = {}
    for axes, protocol in zip(panels, shown, strict=True):
        models = [name for name in schema.MODELS if name in protocols[protocol]]
        models = [name for name in models if name != schema.MAJORITY]
        offsets = np.linspace(-0.3, 0.3, max(2, len(models)))
        for offset, name in zip(offsets, models, strict=False):
            handles[name] = _verdict_points(axes, protocols[protocol][name], name, place, offset)
        unworn, end = sum(not worn for worn, _ in runs) - 0.5, len(runs) - 0.5
        axes.axhline(0.5, color="#777", linewidth=0.8)
        axes.axvspan(-0.5, unworn, 0.5, 1, color="#b3261e", alpha=0.06, linewidth=0)
        axes.axvspan(unworn, end, 0, 0.5, color="#b3261e", alpha=0.06, linewidth=0)
        axes.text(-0.4, 1.05, f"{unworn + 0.5:.0f} unworn runs", fontsize=9, va="bottom")
        axes.text(unworn + 0.1, 1.05, f"{end - unworn:.0f} worn runs", fontsize=9, va="bottom")
        title = "One run left out" if protocol == schema.NEW_RUN else "One setting left out"
        axes.set_title(title, loc="right", fontsize=10)
        axes.set(ylim=(-0.03, 1.03), xlim=(-0.5, end), ylabel="mean P(worn)")
        clean(axes)
    panels[-1].set_xticks(range(len(runs)), [run for _, run in runs])
    panels[-1].set_xlabel("run")
    figure.legend(
        list(handles.values()),
        [model_name(name) for name in handles],
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=9,
    )
    figure.suptitle("Verdicts on runs that the model has not seen (shaded: wrong)", fontsize=12)
    save(figure, path)


def _verdict_points(
    axes: Axes, figures: Mapping[str, Any], name: str, place: Mapping[str, int], offset: float
) -> Any:
    x = [place[item[schema.RUN_ID]] + offset for item in figures["per_run"]]
    y = [item["p"] for item in figures["per_run"]]
    strong = name in (schema.NESTED, schema.AUTO_SKLEARN)
    (line,) = axes.plot(
        x, y, "D" if strong else "o", color=COLOURS[name], markersize=6.5 if strong else 4.5
    )
    return line


def permutation(result: Mapping[str, Any], path: Path) -> None:
    """Draw what the best of all reaches with permuted labels, and what it reached."""
    kinds = [kind for kind in _KINDS if (result.get(kind) or {}).get("permutations")]
    figure = Figure(figsize=(9.5, 2.9 * len(kinds) + 0.4), layout="constrained")
    panels = figure.subplots(len(kinds), 2, squeeze=False)
    for row, kind in zip(panels, kinds, strict=True):
        found = result[kind]["all"]
        _null(row[0], found["runs_correct"], "runs judged right", whole=True)
        _null(row[1], found["run_auc"], "area under the ROC curve over runs", whole=False)
        count = result[kind]["permutations"]
        row[0].set_ylabel(f"of {count} permutations\n{_KINDS[kind]}")
    figure.suptitle(
        "The best of all that was tried, with labels permuted over runs (grey) and true (line)",
        fontsize=11,
    )
    save(figure, path)


def _null(axes: Axes, found: Mapping[str, Any], label: str, whole: bool) -> None:
    null = np.array(found["null"])
    low, high = min(null.min(), found["observed"]), max(null.max(), found["observed"])
    bins: Any = np.arange(low - 0.5, high + 1) if whole else np.linspace(low, high, 20)
    axes.hist(null, bins=bins, color="#b9bec5", edgecolor="white")
    axes.axvline(found["observed"], color="#c2410c", linewidth=2)
    axes.axvline(found["null_95"], color="#555", linewidth=1, linestyle=":")
    axes.set_title(
        f"observed {found['observed']:.3g}, p = {found['p']:.2g}; 95 % of the permutations reach "
        f"at most {found['null_95']:.3g}",
        loc="left",
        fontsize=8,
    )
    axes.set_xlabel(label)
    clean(axes)
