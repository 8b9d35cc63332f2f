"""The search, the export and what is handed on; runs in the interpreter that has auto-sklearn."""

from __future__ import annotations

import multiprocessing
import platform
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from toolwear.automl import data, outer, space
from toolwear.automl.export.ensemble import weighted_mean
from toolwear.automl.export.gate import Export, Limit, export_ensemble
from toolwear.automl.logic import prediction_table
from toolwear.automl.progress import Progress
from toolwear.automl.request import Request
from toolwear.automl.search import Budget, Found, search
from toolwear.common import jsonfile
from toolwear.common.digest import file_digest
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.dataset import schema
from toolwear.evaluation.protocols import Fold
from toolwear.features.dataset import Samples, load
from toolwear.model.onnx_graph import IR_VERSION, OPSETS
from toolwear.model.onnx_model import OnnxModel

MODEL, PREDICTIONS, NATIVE = "model.onnx", "predictions.parquet", "native.parquet"
SEARCH, EXPORT = "search.json", "export.json"
_THRESHOLDS = Path(jsonfile.__file__).with_name("thresholds.yaml")
_PACKAGES = ("auto-sklearn", "scikit-learn", "smac", "numpy", "onnx", "onnxruntime")


def automl(request: Request) -> None:
    """Search, export and write the artifact; see the component for what it holds.

    Raises:
        ToolwearError: the training rows hold one class only.
    """
    samples = load(request.features, schema.PUBLISHED)
    (fold,) = data.read_folds(request.split, schema.KNOWN_RUNS, samples)
    if len(set(samples.y[fold.train_index].tolist())) < 2:
        raise ToolwearError(
            "All training rows have the same label, so there is nothing to learn; "
            "add runs with the other tool condition."
        )
    limit = export_limit()
    outer_folder = request.scratch / "outer-results"
    if request.concurrent:
        found = _beside(request, limit, outer_folder, samples, fold)
    else:
        found = _search_main(request, samples, fold)
        outer.run_outer(request, limit, outer_folder)
    report(f"comparing the graph with its {len(found.members)} member(s)")
    every = data.every_row(request.features, schema.PUBLISHED)
    export = export_ensemble(found.members, every, limit)
    _write(request, samples, fold, found, export, limit, every, outer_folder)


def export_limit() -> Limit:
    """Return the gate of the export, from the reviewed thresholds."""
    # Read without their schema: pydantic is not in this environment, other steps check the file.
    limits = yaml.safe_load(_THRESHOLDS.read_text(encoding="utf-8"))["export"]
    return Limit(limits["label_agreement"], limits["probability_tolerance"], limits["tree_nodes"])


def _search_main(request: Request, samples: Samples, fold: Fold) -> Found:
    found = search(
        samples.X[fold.train_index],
        samples.y[fold.train_index],
        _ranked_by(request, samples, fold),
        Budget(request.seconds, request.evaluations, request.memory_mb, request.jobs, request.dask),
        request.seed,
        request.scratch / "main",
        Progress(request.scratch, "main search", request.seconds),
    )
    counts, seconds = found.history["counts"], found.history["seconds"]
    report(
        f"main search: {counts['evaluations']} evaluations in {seconds['search']:.0f} s, "
        f"{len(found.members)} member(s), fitted again in {seconds['refit']:.0f} s"
    )
    return found


def _ranked_by(request: Request, samples: Samples, fold: Fold) -> np.ndarray | None:
    """Return by which folds models are ranked: of whole recordings if it may judge new ones.

    Else rows are held out at random, as in what was published.
    """
    if data.asked_of(request.split)[schema.NEW_RUN] != schema.PUBLISHED:
        return None
    return outer.inner_folds(samples, schema.NEW_RUN, fold)


def _beside(request: Request, limit: Limit, folder: Path, samples: Samples, fold: Fold) -> Found:
    """Run the main search here and the outer ones in a process beside it."""
    # Spawned, not forked: auto-sklearn keeps global state. Not a daemon: it has children itself.
    process = multiprocessing.get_context("spawn").Process(
        target=outer.run_outer, args=(request, limit, folder)
    )
    process.start()
    try:
        found = _search_main(request, samples, fold)
        process.join()
    finally:
        process.kill()  # its children go with the process group, which the launcher ends
    if process.exitcode != 0:
        raise RuntimeError(f"The outer searches ended with {process.exitcode}; see the log above.")
    return found


def _write(
    request: Request,
    samples: Samples,
    fold: Fold,
    found: Found,
    export: Export,
    limit: Limit,
    every: np.ndarray,
    outer_folder: Path,
) -> None:
    output = request.output
    output.mkdir(parents=True, exist_ok=True)
    (output / MODEL).write_bytes(export.model)
    p = OnnxModel(export.model).worn(samples.X[fold.test_index])
    tables = [prediction_table(schema.KNOWN_RUNS, schema.PUBLISHED, fold, samples, p)]
    if (outer_folder / outer.PREDICTIONS).exists():
        tables.append(pd.read_parquet(outer_folder / outer.PREDICTIONS))
        # Not a rename: in a container the scratch folder is on another disk than the output.
        shutil.move(str(outer_folder / outer.MODELS), str(output / outer.MODELS))
    pd.concat(tables, ignore_index=True).to_parquet(output / PREDICTIONS, index=False)
    native = weighted_mean(
        [member.weight for member in export.kept],
        [member.probabilities(samples.X) for member in export.kept],
    )
    ids = samples.frame[schema.SAMPLE_ID].to_numpy()
    pd.DataFrame({schema.SAMPLE_ID: ids, "p": native[:, 1]}).to_parquet(
        output / NATIVE, index=False
    )
    jsonfile.write(output / EXPORT, _export_record(export, limit, len(every), output / MODEL))
    jsonfile.write(
        output / SEARCH,
        {
            **found.history,
            "settings": {**_settings(request), "rows": len(fold.train_index)},
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in _PACKAGES},
            },
            "outer": jsonfile.read(outer_folder / outer.SUMMARY),
        },
    )
    report(
        f"model.onnx: {len(export.model) / 1024:.0f} KiB, labels agree on "
        f"{export.agreement.label_agreement:.4%} of {len(every)} rows, "
        f"probabilities within {export.agreement.max_abs_diff:.1e}"
    )


def _settings(request: Request) -> dict[str, Any]:
    paths = {"features", "split", "output", "scratch"}
    return {
        **{name: value for name, value in asdict(request).items() if name not in paths},
        "metric": "log_loss",
        "space": space.search_space(),
        "ensemble_candidates": space.ENSEMBLE_CANDIDATES,
        "ensemble_votes": space.ENSEMBLE_VOTES,
        "jobs": request.jobs,
    }


def _export_record(export: Export, limit: Limit, rows: int, model: Path) -> dict[str, Any]:
    return {
        "rows": rows,
        **asdict(export.agreement),
        "limit": asdict(limit),
        "full_ensemble": asdict(export.full_agreement),
        "dropped_members": [asdict(member) for member in export.dropped],
        "cut_members": [asdict(member) for member in export.cut],
        "sha256": file_digest(model),
        "bytes": len(export.model),
        "opsets": OPSETS,
        "ir_version": IR_VERSION,
    }
