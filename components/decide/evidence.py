"""Reads from the earlier steps' artifacts what a decision rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolwear.common import jsonfile
from toolwear.common.digest import file_digest
from toolwear.dataset import schema
from toolwear.evaluation.questions import ASKED_OF

MODEL = "model.onnx"


@dataclass(frozen=True)
class Folders:
    """What the earlier steps left."""

    evaluation: Path
    explanation: Path
    split: Path
    validation: Path
    features: Path
    automl: Path


@dataclass(frozen=True)
class Evidence:
    """The challenger's figures.

    Attributes:
        feature_set: of the challenger.
        known_runs: its figures on the published split.
        new_run: figures of the same search and features on runs left out; empty if there are none.
        permutation_p: of the test on the maximum over all that was tried; None if not tested.
        export: how far the graph stands off the model that it was made from.
        export_is_of_this_graph: whether that was measured on this very file.
        noise: largest share of the labels that the noise of arithmetic changes.
        explanations: quality of each method.
        data_valid: whether the recordings passed every critical check.
        reasons_against: why it may say nothing about new runs: what the audit found of this
            feature set, and what was not asked or not tested.
        left_out: by protocol, why its question was not asked.
    """

    feature_set: str
    known_runs: Mapping[str, Any]
    new_run: Mapping[str, Any]
    permutation_p: float | None
    export: Mapping[str, Any]
    export_is_of_this_graph: bool
    noise: float
    explanations: Mapping[str, Mapping[str, Any]]
    data_valid: bool
    reasons_against: list[str]
    left_out: Mapping[str, str]

    @property
    def new_run_lower_bound(self) -> float | None:
        """Lower end of the interval of the share of new runs that it judges right."""
        runs = self.new_run.get("runs") or {}
        interval = runs.get("wilson") or (self.new_run.get("interval") or {}).get("accuracy")
        return interval[0] if interval else None

    @property
    def shap_deletion_gain(self) -> float | None:
        """How much more the features that SHAP ranks first move P(worn) than others at random."""
        top, random = (self.quality("shap", f"deletion_{name}") for name in ("top", "random"))
        return None if top is None or random is None else top - random

    @property
    def lime_faithful_share(self) -> float | None:
        """Share of the explained rows in which LIME's linear model is faithful."""
        faithful, rows = self.quality("lime", "faithful"), self.quality("lime", "rows")
        return faithful / rows if faithful is not None and rows else None

    def quality(self, method: str, figure: str) -> float | None:
        """Return a figure of an explanation's quality, None if it was not measured."""
        value = self.explanations.get(method, {}).get(figure)
        return None if value is None else float(value)


def read(folders: Folders) -> Evidence:
    """Read the evidence."""
    metrics = jsonfile.read(folders.evaluation / "metrics.json")
    export = jsonfile.read(folders.automl / "export.json")
    audit = jsonfile.read(folders.split / "audit.json")
    known_runs = metrics["protocols"][schema.KNOWN_RUNS].get(schema.AUTO_SKLEARN, {})
    feature_set = ASKED_OF[schema.KNOWN_RUNS]
    verdict = audit["protocols"][schema.NEW_RUN][feature_set]
    explanations = jsonfile.read(folders.explanation / "explanations.json")
    return Evidence(
        feature_set=feature_set,
        known_runs=known_runs,
        new_run=on_new_runs(metrics, feature_set),
        permutation_p=metrics["permutation"]["p"],
        export=export,
        export_is_of_this_graph=export["sha256"] == file_digest(folders.automl / MODEL),
        noise=metrics["noise"]["numerical"],
        explanations={
            name: item["quality"] for name, item in explanations.items() if "quality" in item
        },
        data_valid=bool(jsonfile.read(folders.validation / "result.json")["success"]),
        reasons_against=_against(verdict, metrics),
        left_out=metrics["left_out"],
    )


def _against(verdict: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    left_out = metrics["left_out"]
    unasked = [left_out[schema.NEW_RUN]] if schema.NEW_RUN in left_out else []
    reasons = [*verdict["reasons"], *unasked, *metrics["permutation"]["left_out"].values()]
    return list(dict.fromkeys(reasons))


def on_new_runs(metrics: Mapping[str, Any], feature_set: str) -> dict[str, Any]:
    """Return the figures on runs left out of the same search on the same features, or nothing.

    Figures on other features say nothing of this model.

    Args:
        metrics: content of metrics.json.
        feature_set: of the challenger.
    """
    headline = metrics["protocols"].get(schema.NEW_RUN, {}).get(schema.AUTO_SKLEARN, {})
    if headline.get("feature_set") == feature_set:
        return dict(headline)
    further = metrics.get("further", {}).get(schema.NEW_RUN, {}).get(feature_set, {})
    return dict(further.get(schema.AUTO_SKLEARN, {}))
