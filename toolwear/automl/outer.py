"""Searches on part of the runs, judged on the runs or the setting that they have not seen."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolwear.automl import data
from toolwear.automl.export.gate import Limit, export_ensemble
from toolwear.automl.logic import divide, group_folds, prediction_table
from toolwear.automl.progress import Progress
from toolwear.automl.request import Request
from toolwear.automl.search import Budget, search
from toolwear.common import jsonfile
from toolwear.common.steps import report
from toolwear.dataset import schema
from toolwear.evaluation.protocols import Fold, groups
from toolwear.evaluation.questions import why_left_out
from toolwear.features.dataset import Samples, load
from toolwear.model.onnx_model import OnnxModel

PREDICTIONS, SUMMARY, MODELS = "predictions.parquet", "summary.json", "outer"
# Three rather than five: within a small budget the number of models that are tried counts more.
_INNER_FOLDS = 3
_PROTOCOLS = (schema.NEW_RUN, schema.NEW_SETTING)


def run_outer(request: Request, limit: Limit, folder: Path) -> None:
    """Search once for each chosen fold and write what came of it below `folder`.

    Writes `predictions.parquet`, `summary.json` (a list, one entry a fold) and
    `outer/<protocol>/<fold>.onnx`.
    """
    asked = data.asked_of(request.split)
    sets = {name: load(request.features, name) for name in {asked[p] for p in _PROTOCOLS}}
    tables: list[pd.DataFrame] = []
    summaries: list[dict[str, Any]] = []
    plan: list[tuple[str, Fold]] = []
    for protocol in _PROTOCOLS:
        samples = sets[asked[protocol]]
        of = data.read_folds(request.split, protocol, samples)
        if why_left_out(protocol, samples, of):
            report(f"no outer search for {protocol}: the question is left out")
            continue
        parts = divide(of, samples.y, request.outer_folds, request.seed)
        plan += [(protocol, fold) for fold in parts]
    for number, (protocol, fold) in enumerate(plan, 1):
        name = f"{protocol} {fold.name}"
        samples = sets[asked[protocol]]
        held = np.unique(groups(protocol, samples.frame)[fold.test_index]).tolist()
        summary: dict[str, Any] = {"protocol": protocol, "fold": fold.name, "held_out": held}
        summaries.append(summary)
        inner = inner_folds(samples, protocol, fold)
        if inner is None:
            summary["skipped"] = "one class, or one of its groups only, is left to learn from"
            report(f"outer search {number} of {len(plan)} ({name}): skipped, {summary['skipped']}")
            continue
        progress = Progress(request.scratch, f"outer search {number} of {len(plan)} ({name})")
        table, details = _search_fold(
            request, limit, asked[protocol], samples, protocol, fold, inner, folder, progress
        )
        tables.append(table)
        summary.update(details)
        right = float(((table["p"] > 0.5) == table["y"]).mean())
        members = ", ".join(sorted({member["classifier"] for member in details["ensemble"]}))
        report(
            f"outer search {number} of {len(plan)} ({name}): "
            f"{details['counts']['evaluations']} evaluations, chosen: {members}; "
            f"{right:.1%} of {len(table)} rows right"
        )
    if tables:
        folder.mkdir(parents=True, exist_ok=True)
        pd.concat(tables, ignore_index=True).to_parquet(folder / PREDICTIONS, index=False)
    jsonfile.write(folder / SUMMARY, summaries)


def inner_folds(samples: Samples, protocol: str, fold: Fold) -> np.ndarray | None:
    """Return how models are ranked inside: by the kind of group that the protocol holds out."""
    group = groups(protocol, samples.frame)
    return group_folds(samples.y[fold.train_index], group[fold.train_index], _INNER_FOLDS)


def _search_fold(
    request: Request,
    limit: Limit,
    feature_set: str,
    samples: Samples,
    protocol: str,
    fold: Fold,
    inner: np.ndarray,
    folder: Path,
    progress: Progress,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    found = search(
        samples.X[fold.train_index],
        samples.y[fold.train_index],
        inner,
        Budget(request.outer_seconds, request.evaluations, request.memory_mb),
        request.seed,
        request.scratch / f"{protocol}-{fold.name.replace('/', '-')}",
        progress,
    )
    export = export_ensemble(found.members, samples.X, limit)
    path = folder / MODELS / protocol / f"{fold.name.replace('/', '-')}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(export.model)
    p = OnnxModel(export.model).worn(samples.X[fold.test_index])
    details = {
        "rows": {"train": len(fold.train_index), "test": len(fold.test_index)},
        "agreement": asdict(export.agreement),
        "dropped_members": [asdict(member) for member in export.dropped],
        "cut_members": [asdict(member) for member in export.cut],
        **found.history,
    }
    return prediction_table(protocol, feature_set, fold, samples, p), details
