"""Curves of rows that were held back: of the models of a run, or of one model over runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from serving.console import evidence, svg
from toolwear.common import jsonfile
from toolwear.common.tables import read_frame
from toolwear.dataset import schema
from toolwear.workspace.home import Home

SIDE = 340  # of a square plot


@dataclass(frozen=True, eq=False)
class Held:
    """A model's answers to the rows of known runs that were held back.

    Attributes:
        name: for the legend.
        style: classes of the line.
        y: 1 where worn, (rows,).
        p: P(worn), (rows,).
        calibration: its bins and `ece`, as the evaluation has them; None if it has none.
    """

    name: str
    style: str
    y: np.ndarray
    p: np.ndarray
    calibration: Mapping[str, Any] | None

    @property
    def areas(self) -> tuple[float, float]:
        """Areas under the ROC curve and under precision over recall."""
        return (
            float(roc_auc_score(self.y, self.p)),
            float(average_precision_score(self.y, self.p)),
        )


def evaluation(home: Home, run: evidence.Run) -> dict[str, Any] | None:
    """Return what the run's evaluation has measured; None if it is gone."""
    folder = evidence.artifact(home, run, "evaluate", "evaluation")
    return jsonfile.read(folder / "metrics.json") if folder else None


def search(home: Home, run: evidence.Run) -> dict[str, Any] | None:
    """Return what the run's search has tried; None if it is gone."""
    folder = evidence.artifact(home, run, "automl", "automl")
    return jsonfile.read(folder / "search.json") if folder else None


def predictions(home: Home, run: evidence.Run) -> pd.DataFrame | None:
    """Return the held-back rows of the known runs: model, y, p; None if they are gone."""
    folders = [
        evidence.artifact(home, run, step, name)
        for step, name in (("train", "models"), ("automl", "automl"))
    ]
    known = [
        ("protocol", "==", schema.KNOWN_RUNS),
        ("feature_set", "==", schema.PUBLISHED),
    ]
    frames = [
        read_frame(folder / "predictions.parquet", filters=known)
        for folder in folders
        if folder is not None
    ]
    return pd.concat(frames, ignore_index=True) if len(frames) == len(folders) else None


def figures(held: Sequence[Held]) -> dict[str, Markup]:
    """Return ROC, precision and recall, and calibration, each with a line for each of `held`."""
    roc, precision_recall = [], []
    calibration = [svg.Line("perfect", np.array([0.0, 1.0]), np.array([0.0, 1.0]), "faint")]
    for one in held:
        false, true, _ = roc_curve(one.y, one.p)
        roc.append(svg.Line(one.name, false, true, one.style))
        precision, recall, _ = precision_recall_curve(one.y, one.p)
        precision_recall.append(svg.Line(one.name, recall[::-1], precision[::-1], one.style))
        if one.calibration is not None:
            calibration.append(_reliability(one, one.calibration["bins"]))
    of = " of " + ", ".join(one.name for one in held)
    return {
        "roc": svg.lines(_square(f"ROC{of}", "false positive rate", "true positive rate"), roc),
        "precision_recall": svg.lines(
            _square(f"Precision and recall{of}", "recall", "precision"), precision_recall
        ),
        "calibration": svg.lines(
            _square(f"Calibration{of}", "predicted P(worn)", "share worn, 95 % interval"),
            calibration,
        ),
    }


def _reliability(one: Held, bins: Sequence[Mapping[str, Any]]) -> svg.Line:
    """Return the bins as dots with 95 % intervals: few rows say little, and it is seen."""
    said, was = (np.array([item[key] for item in bins]) for key in ("mean_p", "worn_share"))
    low, high = np.array([item["interval"] for item in bins]).reshape(-1, 2).T
    return svg.Line(one.name, said, was, one.style, low, high, dots=True, joined=False)


def progress(searches: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Markup | None:
    """Return the best cost that searches had found by each second; None if none had found any.

    Args:
        searches: name, classes of the line, and what was tried, each.
    """
    drawn = []
    for name, style, tried in searches:
        found = tried["trajectory"]
        if found:
            end = max(found[-1]["seconds"], tried["seconds"]["search"])
            seconds = np.array([point["seconds"] for point in found] + [end])
            cost = np.array([point["cost"] for point in found])
            # It stays what it is until a better one is found.
            drawn.append(svg.Line(name, np.repeat(seconds, 2)[1:-1], np.repeat(cost, 2), style))
    title = "Progress of the search of " + ", ".join(line.name for line in drawn)
    box = svg.Box(title, "seconds of search", "best log loss", SIDE, SIDE - 40)
    return svg.lines(box, drawn) if drawn else None


def _square(title: str, x: str, y: str) -> svg.Box:
    return svg.Box(title, x, y, SIDE, SIDE - 40, (0.0, 1.0), (0.0, 1.0))
