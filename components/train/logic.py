"""Baselines for all three questions: fitted, exported, judged and tested against chance."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import config_context

from components.train.known_runs import fit_known_runs
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.common.thresholds import Export
from toolwear.dataset import schema
from toolwear.evaluation.held_out import Candidate, nested, out_of_fold, predictions
from toolwear.evaluation.permutation import against_chance, not_tested
from toolwear.evaluation.protocols import Fold, divided, folds, groups
from toolwear.evaluation.questions import why_left_out
from toolwear.features.dataset import Samples
from toolwear.model.learners import (
    BASELINES,
    ON_ROWS,
    Learner,
    Rows,
    on_windows,
)

# Models on the published split, by feature set.
_ON_KNOWN_RUNS: Mapping[str, Sequence[str]] = {
    schema.PUBLISHED: (
        schema.MAJORITY,
        schema.SETTINGS_ONLY,
        schema.DECISION_TREE,
        schema.RANDOM_FOREST,
    ),
    schema.PUBLISHED_WITHOUT_POSITION: (schema.RANDOM_FOREST,),
}
_HELD_OUT = (schema.NEW_RUN, schema.NEW_SETTING)
NOT_IN_THE_TEST = (
    "Beside the tried models stand majority and settings_only, which are what they are compared "
    "with, the row-level feature sets, which give the label away, and auto-sklearn, whose search "
    "is too long to be repeated for each relabeling: none is part of the statistic."
)
DIVIDED = (
    "Labels change within recordings, so they cannot be permuted over whole ones; whether the "
    "model does better than context is tested instead."
)


@dataclass(frozen=True)
class Trained:
    """What the step hands on.

    Attributes:
        graphs: bytes of the ONNX graphs by "<protocol>/<feature set>/<model>".
        predictions: the long table.
        training: content of `training.json`.
    """

    graphs: dict[str, bytes]
    predictions: pd.DataFrame
    training: dict[str, Any]


def train_all(
    sets: Mapping[str, Samples],
    splits: pd.DataFrame,
    seed: int,
    permutations: int,
    limits: Export,
) -> Trained:
    """Train and judge every baseline.

    Args:
        sets: samples by feature set, all that the data set has.
        splits: the folds as the split step wrote them.
        seed: of everything that draws at random.
        permutations: relabelings of whole runs.
        limits: how far a graph may stand off its model.

    Raises:
        ToolwearError: the training rows hold one class only.
    """
    _check(sets, splits, permutations)
    graphs: dict[str, bytes] = {}
    models: dict[str, Any] = {}
    tables: list[pd.DataFrame] = []
    for name, wanted in _ON_KNOWN_RUNS.items():
        if name not in sets:
            continue
        samples = sets[name]
        published = folds(schema.KNOWN_RUNS, samples, splits)
        fitted = fit_known_runs(samples, published[0], wanted, seed, limits)
        for item in fitted:
            key = f"{schema.KNOWN_RUNS}/{name}/{item.model}"
            graphs[key], models[key] = item.graph, item.details
        answers = {item.model: item.p for item in fitted}
        tables.append(predictions(schema.KNOWN_RUNS, name, answers, published, samples.frame))
    for protocol in _HELD_OUT:
        for name, samples in sets.items():
            of = folds(protocol, samples, splits)
            if why_left_out(protocol, samples, of):
                continue
            answers, details = _held_out(protocol, name, samples, of, seed)
            models |= details
            tables.append(predictions(protocol, name, answers, of, samples.frame))
    candidates = _candidates(sets)
    windows = sets[schema.RESPONSE]
    for protocol in _HELD_OUT:
        of = folds(protocol, windows, splits)
        reason = why_left_out(protocol, windows, of)
        if reason:
            report(f"{protocol.replace('_', ' ')}: left out. {reason}")
            continue
        started = time.perf_counter()
        report(f"{protocol.replace('_', ' ')}: choosing among {len(candidates)} inside each fold")
        group = groups(protocol, windows.frame)
        p, chosen = nested(candidates, windows.y, windows.run, group, of, seed)
        tables.append(predictions(protocol, schema.RESPONSE, {schema.NESTED: p}, of, windows.frame))
        models[f"{protocol}/{schema.RESPONSE}/{schema.NESTED}"] = {
            "chosen": chosen,
            "seconds": round(time.perf_counter() - started, 2),
        }
    started = time.perf_counter()
    permutation = _permutation(candidates, windows, splits, permutations, seed)
    permutation["seconds"] = round(time.perf_counter() - started, 2)
    training = {"models": models, "permutation": permutation, "seed": seed}
    return Trained(graphs, pd.concat(tables, ignore_index=True), training)


def _check(sets: Mapping[str, Samples], splits: pd.DataFrame, permutations: int) -> None:
    if permutations < 0:
        raise ToolwearError(f"permutations has to be 0 or more, not {permutations}.")
    samples = sets[schema.PUBLISHED]
    (fold,) = folds(schema.KNOWN_RUNS, samples, splits)
    if len(set(samples.y[fold.train_index].tolist())) < 2:
        raise ToolwearError(
            "All training rows have the same label, so there is nothing to learn; "
            "add runs with the other tool condition."
        )


def _held_out(
    protocol: str, feature_set: str, samples: Samples, of: list[Fold], seed: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    learners: dict[str, Learner] = {
        **BASELINES,
        **(on_windows(len(samples.columns)) if samples.of_windows else ON_ROWS),
    }
    answers: dict[str, np.ndarray] = {}
    details: dict[str, Any] = {}
    rows = Rows.of(samples)
    report(f"{protocol.replace('_', ' ')}: {len(learners)} models on {feature_set}")
    for name, learner in learners.items():
        started = time.perf_counter()
        # What others have to beat says what is right most often; all others weigh classes alike.
        balanced = name not in (schema.MAJORITY, schema.CONTEXT)
        answers[name] = out_of_fold(learner, rows, samples.y, samples.run, of, seed, balanced)
        details[f"{protocol}/{feature_set}/{name}"] = {
            "folds": len(of),
            "weights": "runs alike, classes alike" if balanced else "recordings alike",
            "seconds": round(time.perf_counter() - started, 2),
        }
    return answers, details


def _candidates(sets: Mapping[str, Samples]) -> list[Candidate]:
    """Return all that is tried on windows."""
    return [
        Candidate(feature_set, model, Rows.of(samples), learner)
        for feature_set, samples in sets.items()
        if samples.of_windows
        for model, learner in on_windows(len(samples.columns)).items()
    ]


def _permutation(
    candidates: list[Candidate],
    windows: Samples,
    splits: pd.DataFrame,
    permutations: int,
    seed: int,
) -> dict[str, Any]:
    said = {"tried": [item.name for item in candidates], "note": NOT_IN_THE_TEST}
    if divided(windows.run):
        return {**not_tested(DIVIDED, seed, asked=False), **said}
    of = {protocol: folds(protocol, windows, splits) for protocol in _HELD_OUT}
    left_out = {name: why_left_out(name, windows, found) for name, found in of.items()}
    of = {name: found for name, found in of.items() if not left_out[name]}
    if not of:
        return {**not_tested(left_out[schema.NEW_RUN], seed), **said}
    _, first, index = np.unique(windows.run, return_index=True, return_inverse=True)
    # scikit-learn's own checks of what was checked before take a third of the time of small trees.
    with config_context(skip_parameter_validation=True, assume_finite=True):
        result = against_chance(
            candidates,
            label=windows.y[first],
            setting=windows.setting[first],
            run_index=index,
            folds=of,
            permutations=permutations,
            seed=seed,
            progress=report,
        )
    return {**result, **said}
