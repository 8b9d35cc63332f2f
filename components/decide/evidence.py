"""Reads from the earlier steps' artifacts what a decision rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolwear.common import jsonfile
from toolwear.common.digest import file_digest
from toolwear.dataset import contract, schema
from toolwear.dataset.contract import Gate
from toolwear.evaluation.questions import SERVED
from toolwear.release.gate import Shown

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
        asked: what they have to reach.
        new_run: figures of the same search and features on runs left out; empty if there are none.
        new_runs: what it shows on them.
        export: how far the graph stands off the model that it was made from.
        export_is_of_this_graph: whether that was measured on this very file.
        noise: largest share of the labels that the noise of arithmetic changes.
        explanations: quality of each method.
        data_valid: whether the recordings passed every critical check.
        left_out: by protocol, why its question was not asked.
    """

    feature_set: str
    known_runs: Mapping[str, Any]
    asked: Gate
    new_run: Mapping[str, Any]
    new_runs: Shown
    export: Mapping[str, Any]
    export_is_of_this_graph: bool
    noise: float
    explanations: Mapping[str, Mapping[str, Any]]
    data_valid: bool
    left_out: Mapping[str, str]

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
    feature_set = SERVED
    verdict = audit["protocols"][schema.NEW_RUN][feature_set]
    new_run = on_new_runs(metrics, feature_set)
    explanations = jsonfile.read(folders.explanation / "explanations.json")
    return Evidence(
        feature_set=feature_set,
        known_runs=known_runs,
        asked=contract.of(folders.features).gate,
        new_run=new_run,
        new_runs=_shown(metrics, new_run, feature_set, _against(verdict, metrics)),
        export=export,
        export_is_of_this_graph=export["sha256"] == file_digest(folders.automl / MODEL),
        noise=metrics["noise"]["numerical"],
        explanations={
            name: item["quality"] for name, item in explanations.items() if "quality" in item
        },
        data_valid=bool(jsonfile.read(folders.validation / "result.json")["success"]),
        left_out=metrics["left_out"],
    )


def _shown(
    metrics: Mapping[str, Any],
    new_run: Mapping[str, Any],
    feature_set: str,
    reasons_against: list[str],
) -> Shown:
    # The stricter of both: few recordings that are all right have no spread to draw from.
    parts = (new_run, new_run.get("rows") or {})
    intervals = [(part.get("interval") or {}).get("accuracy") for part in parts]
    context, permutation = metrics["context"], metrics["permutation"]
    return Shown(
        lower_bound=min((interval[0] for interval in intervals if interval), default=None),
        context_p=context["p"] if context["feature_set"] == feature_set else None,
        permutation_p=permutation["p"],
        permutation_asked=permutation["asked"],
        reasons_against=reasons_against,
    )


def _against(verdict: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    left_out = metrics["left_out"]
    unasked = [left_out[schema.NEW_RUN]] if schema.NEW_RUN in left_out else []
    permutation = metrics["permutation"]
    untested = permutation["left_out"].values() if permutation["asked"] else ()
    reasons = [*verdict["reasons"], *unasked, *untested]
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
