"""Every figure of every model, with its interval; what the graph does; when it should be silent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from components.evaluate import agreement, band, behaviour, context, figures, not_sure, searches
from components.evaluate.statements import statements
from components.evaluate.unseen import Rows, on_searched_runs, on_unseen_runs
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.common.thresholds import Thresholds
from toolwear.dataset import schema
from toolwear.dataset.contract import DataSet, Published
from toolwear.evaluation.metrics import LEVEL
from toolwear.evaluation.protocols import Fold
from toolwear.features.dataset import Samples
from toolwear.model.abstention import Abstention
from toolwear.model.onnx_model import OnnxModel

_DIGITS = 10  # of a figure; the package is named by its figures, and the same are the same
_COVERAGE = ("band", "test", "unseen", "statements", "coverage_curve")


@dataclass(frozen=True)
class Evidence:
    """What is evaluated.

    Attributes:
        predictions: long tables of all models together.
        samples: of the challenger's feature set.
        fold: its published split.
        calibration: rows in neither half.
        native: SAMPLE_ID and `p` of the ensemble itself, on every sample.
        graph: the challenger.
        permutation: of `training.json`.
        session: columns that tell when a run was recorded, as audited.
        adjacent: share of the test rows recorded beside a training row, as audited.
        published: figures of others on these recordings, if there are any.
        dataset: the data set's contract.
        leaks: what the audit holds against the row features on new settings.
        search: of `search.json`.
        asked_of: by protocol, the feature set of which its question is asked, as audited.
        left_out: by protocol, why its question is not asked, as audited.
    """

    predictions: pd.DataFrame
    samples: Samples
    fold: Fold
    calibration: Rows
    native: pd.DataFrame
    graph: OnnxModel
    permutation: Mapping[str, Any]
    session: Sequence[str]
    adjacent: float
    published: Published | None
    dataset: DataSet
    leaks: Sequence[str]
    search: Mapping[str, Any]
    asked_of: Mapping[str, str]
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Evaluation:
    """Contents of `metrics.json`, `abstention.json` and `golden.json`."""

    metrics: dict[str, Any]
    abstention: dict[str, Any]
    golden: dict[str, Any]


def evaluate_all(evidence: Evidence, limits: Thresholds, seed: int) -> Evaluation:
    """Measure everything.

    Args:
        evidence: what is evaluated.
        limits: the thresholds.
        seed: of bootstraps and noise.

    Raises:
        ToolwearError: the artifacts do not belong together.
    """
    _check(evidence)
    samples, fold, graph = evidence.samples, evidence.fold, evidence.graph
    X, y = samples.X[fold.test_index], samples.y[fold.test_index]
    training = samples.X[fold.train_index]
    p = graph.worn(X)

    report("measuring every model with its interval")
    keys = samples.frame.drop_duplicates(schema.RUN_ID)
    settings = dict(zip(keys[schema.RUN_ID], keys[schema.SETTING], strict=True))
    asked = evidence.predictions[~evidence.predictions["protocol"].isin(list(evidence.left_out))]
    protocols, further = _figures(asked, evidence.asked_of, settings, seed, evidence.published)
    compared = context.against_context(asked, evidence.asked_of[schema.NEW_RUN], seed)

    report("choosing when to say 'not sure', without the test rows")
    searched = _searched(evidence, asked)
    abstention, rule = _abstention(evidence, training, searched)
    abstention["test"] = band.on_test(rule, X, y, p)
    abstention["coverage_curve"] = band.coverage_curve(y, p)
    report("asking the rule about runs left out one at a time")
    abstention["unseen"] = (
        on_unseen_runs(
            Rows(samples.X, samples.y, samples.run),
            fold.train_index,
            evidence.calibration,
            samples.columns,
            evidence.dataset.not_sure,
            seed,
        )
        if searched is None
        else on_searched_runs(*searched, samples.columns, evidence.dataset.not_sure, seed)
    )
    abstention["statements"] = not_sure.sentences(abstention)

    report("checking how the graph behaves")
    subject = behaviour.Subject(graph, X, y, samples.columns, training, rule, evidence.dataset)
    noise = behaviour.noise(subject, seed)
    found = behaviour.summary(behaviour.checks(subject, evidence.session, noise))
    metrics = {
        "seed": seed,
        "level": LEVEL,
        "protocols": protocols,
        "left_out": dict(evidence.left_out),
        "further": further,
        "settings_told": evidence.dataset.settings_told,
        "slices": _slices(asked, samples.frame, evidence.dataset.phases.column),
        "calibration": _calibration(asked, evidence.asked_of),
        "coverage": {key: abstention[key] for key in _COVERAGE},
        "behaviour": found,
        "noise": noise,
        "context": compared,
        # Not how long it took, which differs from run to run.
        "permutation": {k: v for k, v in evidence.permutation.items() if k != "seconds"},
        "onnx": agreement.onnx_agreement(evidence.native, samples, graph, limits),
        "statements": statements(
            protocols,
            further,
            evidence.permutation,
            found,
            evidence.adjacent,
            limits.decision.permutation_p,
            evidence.leaks,
            abstention["statements"],
            searches.sentences(
                evidence.search, _samples(evidence.predictions, evidence.asked_of[schema.NEW_RUN])
            ),
            context.sentence(compared, limits.decision.context_p),
            evidence.left_out,
        ),
    }
    metrics = jsonfile.in_digits(metrics, _DIGITS)
    return Evaluation(metrics, abstention, agreement.golden(graph, samples, fold.test_index, p))


def _check(evidence: Evidence) -> None:
    if evidence.graph.n_features != len(evidence.samples.columns):
        raise ToolwearError(
            f"The model wants {evidence.graph.n_features} features and the feature set has "
            f"{len(evidence.samples.columns)}; run the search again on these features."
        )
    known = set(evidence.samples.frame[schema.SAMPLE_ID])
    if not set(evidence.native[schema.SAMPLE_ID]) <= known:
        raise ToolwearError(
            "The search was made on other samples than these features hold; run it again."
        )
    if evidence.predictions["p"].isna().any():
        raise ToolwearError(
            "A model answered with something that is not a number; see its predictions.parquet."
        )


def _figures(
    predictions: pd.DataFrame,
    asked_of: Mapping[str, str],
    settings: dict[str, str],
    seed: int,
    published: Published | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    protocols: dict[str, Any] = {name: {} for name in schema.PROTOCOLS}
    further: dict[str, Any] = {name: {} for name in schema.PROTOCOLS}
    for (protocol, feature_set, model), rows in _by_model(predictions):
        value = (
            figures.known_runs(rows, seed, published)
            if protocol == schema.KNOWN_RUNS
            else figures.held_out(rows, settings, len(settings), seed)
        )
        if feature_set == asked_of[protocol]:
            protocols[protocol][model] = value
        else:
            further[protocol].setdefault(feature_set, {})[model] = value
    return protocols, further


def _by_model(predictions: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    keys = ["protocol", "feature_set", "model"]
    for (protocol, feature_set, model), rows in predictions.groupby(keys, sort=False):
        yield (str(protocol), str(feature_set), str(model)), rows


def _samples(predictions: pd.DataFrame, feature_set: str) -> list[int]:
    """Return how many samples of a feature set each run has, of the runs that have any."""
    held_out = predictions["protocol"] == schema.NEW_RUN
    samples = predictions[held_out & (predictions["feature_set"] == feature_set)]
    counts: list[int] = samples.groupby(schema.RUN_ID)[schema.SAMPLE_ID].nunique().tolist()
    return counts


def _searched(evidence: Evidence, predictions: pd.DataFrame) -> tuple[Rows, np.ndarray] | None:
    """Return rows of the served model's columns with what searches without them say of each.

    None unless all recordings were left out of a search on these columns.
    """
    if evidence.asked_of[schema.NEW_RUN] != schema.PUBLISHED:
        return None
    said = predictions[
        (predictions["protocol"] == schema.NEW_RUN)
        & (predictions["feature_set"] == schema.PUBLISHED)
        & (predictions["model"] == schema.AUTO_SKLEARN)
    ].set_index(schema.SAMPLE_ID)["p"]
    samples = evidence.samples
    worn = said.reindex(samples.frame[schema.SAMPLE_ID]).to_numpy()
    if np.isnan(worn).any():
        return None
    return Rows(samples.X, samples.y, samples.run), worn


def _abstention(
    evidence: Evidence,
    training: np.ndarray,
    searched: tuple[Rows, np.ndarray] | None,
) -> tuple[dict[str, Any], Abstention]:
    X, y = evidence.calibration.X, evidence.calibration.y
    limits = evidence.dataset.not_sure
    bounds = band.envelope(training, evidence.samples.columns, limits.envelope_quantile)
    inside = ~Abstention.of(evidence.samples.columns, None, bounds).outside(X).any(axis=1)
    target = limits.target_accuracy
    if searched is None:
        chosen = band.choose_band(y[inside], evidence.graph.worn(X[inside]), target)
    else:
        chosen = band.choose_band(searched[0].y, searched[1], target, band.LEFT_OUT)
    rule = Abstention.of(
        evidence.samples.columns, {"low": chosen["low"], "high": chosen["high"]}, bounds
    )
    content = {
        "low": chosen["low"],
        "high": chosen["high"],
        "band": chosen,
        "envelope": bounds,
        "envelope_quantile": limits.envelope_quantile,
    }
    return content, rule


def _slices(predictions: pd.DataFrame, keys: pd.DataFrame, phase: str) -> dict[str, Any]:
    """Return accuracy by setting and phase of every published-split model but the baselines."""
    known = predictions[
        (predictions["protocol"] == schema.KNOWN_RUNS)
        & (predictions["feature_set"] == schema.PUBLISHED)
        & ~predictions["model"].isin([schema.MAJORITY, schema.SETTINGS_ONLY])
    ].merge(keys[[schema.SAMPLE_ID, schema.SETTING, phase]], on=schema.SAMPLE_ID)
    return {
        str(model): {
            schema.SETTING: figures.slices(rows, schema.SETTING),
            "phase": figures.slices(rows, phase),
            "run": figures.slices(rows, schema.RUN_ID),
        }
        for model, rows in known.groupby("model", sort=False)
    }


def _calibration(predictions: pd.DataFrame, asked_of: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {name: {} for name in schema.PROTOCOLS}
    for (protocol, feature_set, model), rows in _by_model(predictions):
        if feature_set == asked_of[protocol]:
            result[protocol][model] = figures.reliability(
                rows["y"].to_numpy(), rows["p"].to_numpy()
            )
    return result
