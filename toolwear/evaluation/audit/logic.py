"""The audit: every check on the data, the features and the folds, in one plain dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.common.thresholds import Thresholds
from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet
from toolwear.evaluation.audit import columns as audit_columns
from toolwear.evaluation.audit import design as audit_design
from toolwear.evaluation.audit import memory as audit_memory
from toolwear.evaluation.audit import order as audit_order
from toolwear.evaluation.audit import session as audit_session
from toolwear.evaluation.audit import verdict as audit_verdict
from toolwear.evaluation.audit.separation import violations
from toolwear.evaluation.protocols import folds
from toolwear.evaluation.questions import asked_of, why_left_out
from toolwear.features.dataset import Samples
from toolwear.features.definitions import Definitions, definitions

SCAN_ROWS = 200_000  # beyond, the search over columns sees a sample of every run
FOREST_ROWS = 20_000
TELEMETRY = "telemetry"  # where a column comes from, beside the names of the feature sets


def audit(
    rows: pd.DataFrame,
    feature_sets: Mapping[str, Samples],
    splits: pd.DataFrame,
    seed: int,
    limits: Thresholds,
    dataset: DataSet,
) -> dict[str, Any]:
    """Search the data for what would make a score say more than is known.

    Args:
        rows: all rows: keys and recorded numbers.
        feature_sets: the samples of each feature set.
        splits: what `protocols.assign` returned.
        seed: seed of permutations, samples and forests.
        limits: the thresholds.
        dataset: the data set's contract.

    Returns:
        The content of `audit.json`.

    Raises:
        ToolwearError: a protocol does not separate what it promises; then no score is to be had.
    """
    report("checking that training and test are apart")
    left_out = _check_folds(feature_sets, splits)
    cutting = rows[rows[schema.IS_CUTTING].to_numpy(dtype=bool)]
    if cutting.empty:
        raise ToolwearError("No row is a cutting row, so there is nothing to audit or to learn.")
    if rows[schema.LABEL].nunique() < len(schema.CLASSES):
        raise ToolwearError(
            "All runs carry the same label, so nothing can be told apart; give runs that are "
            f"{' and ones that are '.join(schema.CLASSES)}."
        )
    numeric = list(dataset.numbers)

    report(f"judging {len(numeric)} columns alone, one run held out at a time")
    columns = _columns(
        rows, feature_sets, seed, limits.audit.single_column_run_auc, dataset.numbers
    )
    second = max(2, round(1 / dataset.recordings.sample_period_seconds))
    report("comparing runs of the same setting, and the order of the rows")
    found: dict[str, Any] = {
        "seed": seed,
        "columns": columns,
        "session_fingerprint": audit_session.fingerprints(
            cutting, numeric, limits.audit.session_effect_sd, second
        ),
        "order": audit_order.order(rows, limits.audit.out_of_order_share, dataset),
        "phases": audit_order.phases(rows, dataset.phases),
        "phase_column": dataset.phases.column,
        "settings_told": dataset.settings_told,
        "design": audit_design.design(rows.drop_duplicates(schema.RUN_ID), limits.audit, seed),
        "copied_rows": audit_memory.copied_rows(cutting, numeric),
    }
    report("asking how much of a score is memory")
    found["neighbours"] = _neighbours(feature_sets, splits, definitions(dataset))
    found["settings_only"] = audit_memory.settings_only(
        rows.drop_duplicates(schema.RUN_ID), list(dataset.settings)
    )
    found["run_identification"] = {
        name: _identification(samples, seed) for name, samples in feature_sets.items()
    }
    found["protocols"] = audit_verdict.verdicts(
        {name: samples.columns for name, samples in feature_sets.items()},
        left_out,
        found,
        limits.audit.copied_row_share,
    )
    found["asked_of"] = asked_of(found["protocols"])
    found["left_out"] = {
        protocol: left_out[protocol, asked]
        for protocol, asked in found["asked_of"].items()
        if (protocol, asked) in left_out
    }
    found["findings"] = audit_verdict.findings(
        found, limits.validation.layer_agreement, limits.audit.copied_row_share
    )
    found["statements"] = audit_verdict.statements(found)
    failed = any(not v["passed"] for sets in found["protocols"].values() for v in sets.values())
    found["status"] = (
        audit_verdict.RESTRICTED if failed or found["findings"] else audit_verdict.CLEAN
    )
    found["thresholds"] = limits.audit.model_dump()
    return found


def _check_folds(
    feature_sets: Mapping[str, Samples], splits: pd.DataFrame
) -> dict[tuple[str, str], str]:
    """Return why questions are not asked, by protocol and feature set; refuse broken folds."""
    broken: list[str] = []
    left_out: dict[tuple[str, str], str] = {}
    for name, samples in feature_sets.items():
        for protocol in schema.PROTOCOLS:
            of = folds(protocol, samples, splits)
            reason = why_left_out(protocol, samples, of)
            if reason:
                left_out[protocol, name] = reason
                continue
            broken += [
                f"feature set {name}, {sentence}"
                for sentence in violations(protocol, of, samples.frame)
            ]
    if broken:
        raise ToolwearError(
            f"The split does not separate training from test ({broken[0]}"
            + (f"; {len(broken) - 1} more" if len(broken) > 1 else "")
            + "), so no score could be trusted; check the table of runs and the features."
        )
    return left_out


def _columns(
    rows: pd.DataFrame,
    feature_sets: Mapping[str, Samples],
    seed: int,
    threshold: float,
    numeric: tuple[str, ...],
) -> list[dict[str, Any]]:
    """Judge telemetry and feature columns; a column found in both is judged on all its rows."""
    jobs = []
    for mask in (schema.IS_CUTTING, schema.IS_ACTIVE):
        chosen = rows[rows[mask].to_numpy(dtype=bool)]
        values = chosen[list(numeric)].to_numpy(dtype=float)
        jobs.append((TELEMETRY, mask.removeprefix("is_"), chosen, values, numeric))
    jobs += [(name, name, held.frame, held.X, held.columns) for name, held in feature_sets.items()]
    entries: dict[str, dict[str, Any]] = {}
    for source, where, keys, values, names in jobs:
        kept = _sampled(keys, SCAN_ROWS, seed)
        run, label = (keys[name].to_numpy()[kept] for name in (schema.RUN_ID, schema.LABEL))
        for result in audit_columns.scan(values[kept], names, run.astype(str), label, seed):
            entry = entries.setdefault(
                result.column, {"column": result.column, "source": source, "on": {}}
            )
            entry["on"][where] = {
                "run_auc": result.run_auc,
                "runs_right": result.runs_right,
                "runs": result.runs,
                "p_family": result.p_family,
                "moves": result.moves,
                "may_move": result.may_move,
                "leak": result.leaks(threshold),
            }
    for entry in entries.values():
        # What stands for the column: where it leaks, else where it ranks the runs best.
        entry |= max(entry["on"].values(), key=lambda item: (item["leak"], item["run_auc"]))
    return sorted(entries.values(), key=lambda entry: (-entry["run_auc"], entry["column"]))


def _neighbours(
    feature_sets: Mapping[str, Samples], splits: pd.DataFrame, made: Definitions
) -> dict[str, Any]:
    """Return the published set's figures, and every set's under `by_set`."""
    by_set = {}
    for name, samples in feature_sets.items():
        (fold,) = folds(schema.KNOWN_RUNS, samples, splits)
        rows = made.sets[name].samples_column == schema.IS_ACTIVE
        order = schema.ROW if rows else schema.TIME_INDEX
        by_set[name] = audit_memory.neighbours(samples.frame, order, samples.X, fold)
    return by_set[schema.PUBLISHED] | {"by_set": by_set}


def _identification(samples: Samples, seed: int) -> dict[str, Any]:
    kept = _sampled(samples.frame, FOREST_ROWS, seed)
    return audit_memory.run_identification(samples.X[kept], samples.run[kept], seed)


def _sampled(keys: pd.DataFrame, limit: int, seed: int) -> np.ndarray:
    """Return the positions of all rows, or of the same share of every run, about `limit` in all."""
    if len(keys) <= limit:
        return np.arange(len(keys))
    generator = np.random.default_rng(seed)
    kept = [
        generator.choice(places, max(1, round(len(places) * limit / len(keys))), replace=False)
        for places in keys.groupby(schema.RUN_ID, sort=True).indices.values()
    ]
    return np.sort(np.concatenate(kept))
