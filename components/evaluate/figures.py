"""Figures of one model under one protocol, with intervals over what is independent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from components.evaluate.published import compare
from toolwear.dataset import schema
from toolwear.dataset.contract import Published
from toolwear.evaluation.metrics import (
    LEVEL,
    REPLICATES,
    binary_metrics,
    bootstrap,
    judge_runs,
    wilson,
)
from toolwear.evaluation.protocols import divided, recordings

Figures = dict[str, Any]


def known_runs(rows: pd.DataFrame, seed: int, published: Published | None) -> Figures:
    """Return figures over rows: the split is over rows, and so is the claim.

    Args:
        rows: predictions of one model: `y`, `p`, `model`, `feature_set`, RUN_ID.
        seed: of the bootstrap.
        published: what was published on these recordings, by model; may be empty.
    """
    y, p = rows["y"].to_numpy(), rows["p"].to_numpy()
    figures = binary_metrics(y, p)
    right = (p > 0.5) == (y == 1)
    interval: dict[str, Any] = {
        **bootstrap(y, p, seed),
        "accuracy": wilson(int(right.sum()), len(y)),
        "level": LEVEL,
        "method": f"accuracy: Wilson; others: percentile bootstrap over rows, {REPLICATES} draws",
    }
    model, feature_set = rows["model"].iloc[0], rows["feature_set"].iloc[0]
    errors = int((~right).sum())
    return {
        **figures,
        "n": len(y),
        "unit": "rows",
        "feature_set": feature_set,
        "errors": errors,
        "interval": interval,
        "published": compare(model, errors, len(y), published)
        if feature_set == schema.PUBLISHED
        else None,
    }


def held_out(rows: pd.DataFrame, settings: dict[str, str], total: int, seed: int) -> Figures:
    """Return figures over runs, which are what is independent, and beside them over rows.

    Where labels change within recordings, it is figures over rows that stand first, with intervals
    over recordings.

    Args:
        rows: predictions of one model on runs that it has not seen.
        settings: machine setting by run.
        total: runs that there are.
        seed: of the bootstrap.
    """
    run = rows[schema.RUN_ID].to_numpy(dtype=str)
    y, p = rows["y"].to_numpy(), rows["p"].to_numpy()
    table = judge_runs(run, y, p)
    label, mean = table["y"].to_numpy(), table["p"].to_numpy()
    correct = int(table["correct"].sum())
    # Not what p > 0.5 gives: a run without a verdict is not right.
    of_runs = {**binary_metrics(label, mean), "accuracy": correct / len(table)}
    over_runs = bootstrap(label, mean, seed)
    runs = {
        "correct": correct,
        "of": len(table),
        "there_are": total,
        "undecided": int(table["verdict"].isna().sum()),
        "wilson": wilson(correct, len(table)),
        "auc": of_runs["auc"],
        "auc_interval": over_runs["auc"],
    }
    of_rows = {
        **binary_metrics(y, p),
        "n": len(y),
        "interval": {
            **bootstrap(y, p, seed, unit=recordings(run)),
            "level": LEVEL,
            "method": f"percentile bootstrap over recordings, {REPLICATES} draws",
        },
    }
    headline = {
        **of_runs,
        "n": len(table),
        "unit": "runs",
        "interval": {
            **over_runs,
            "accuracy": runs["wilson"],
            "level": LEVEL,
            "method": f"accuracy: Wilson; others: percentile bootstrap over runs, {REPLICATES} "
            "draws",
        },
    }
    # Stretches of one recording are no units of their own; its rows have labels of their own.
    if divided(run):
        headline = {**of_rows, "unit": "rows"}
    return {
        **headline,
        "feature_set": rows["feature_set"].iloc[0],
        "runs": runs,
        "rows": of_rows,
        "per_run": [_verdict(row, settings) for row in table.to_dict("records")],
        "published": None,
    }


def _verdict(row: dict[Any, Any], settings: dict[str, str]) -> dict[str, Any]:
    return {
        schema.RUN_ID: row[schema.RUN_ID],
        schema.SETTING: settings[row[schema.RUN_ID]],
        "label": schema.CLASSES[row["y"]],
        "verdict": row["verdict"],
        "p": row["p"],
        "n": row["n"],
        "correct": bool(row["correct"]),
    }


def slices(rows: pd.DataFrame, by: str) -> list[dict[str, Any]]:
    """Return accuracy within each slice of the rows, the lowest first.

    Args:
        rows: predictions of one model with the key column `by`.
        by: SETTING or PHASE.
    """
    found = []
    for name, part in rows.groupby(by, sort=True):
        right = int(((part["p"] > 0.5) == (part["y"] == 1)).sum())
        found.append(
            {
                "slice": str(name),
                "n": len(part),
                "runs": int(part[schema.RUN_ID].nunique()),
                "worn_share": float(part["y"].mean()),
                "accuracy": right / len(part),
                "interval": wilson(right, len(part)),
            }
        )
    return sorted(found, key=lambda item: (item["accuracy"], item["slice"]))


def reliability(y: np.ndarray, p: np.ndarray, bins: int = 10) -> dict[str, Any]:
    """Return how often what is called worn with probability p is worn, by bins of equal width.

    `ece` is the expected calibration error (Naeini et al. 2015): the mean distance between both,
    weighted by rows.
    """
    place = np.minimum((p * bins).astype(int), bins - 1)
    found: list[dict[str, Any]] = []
    for number in range(bins):
        member = place == number
        n, worn = int(member.sum()), int(y[member].sum())
        if n:
            found.append(
                {
                    "low": number / bins,
                    "high": (number + 1) / bins,
                    "n": n,
                    "mean_p": float(p[member].mean()),
                    "worn_share": worn / n,
                    "interval": wilson(worn, n),
                }
            )
    gaps = [item["n"] * abs(item["mean_p"] - item["worn_share"]) for item in found]
    return {"ece": float(sum(gaps) / len(y)) if len(y) else np.nan, "n": len(y), "bins": found}
