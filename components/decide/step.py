"""Input and output of the decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.decide import evidence as evidences
from components.decide import plots
from components.decide.earlier import best_of, earlier_champions
from components.decide.evidence import Evidence, Folders
from components.decide.scoring import Champion, arrived, score
from toolwear.common import jsonfile
from toolwear.common.causes import Cause, cause_of
from toolwear.common.steps import report
from toolwear.common.thresholds import Decision, Thresholds, thresholds
from toolwear.dataset import schema
from toolwear.evaluation.protocols import folds
from toolwear.features import dataset
from toolwear.features.dataset import Samples
from toolwear.model.footprint import Footprint, measure
from toolwear.model.onnx_model import OnnxModel
from toolwear.release import gate as logic
from toolwear.release.comparison import Comparison
from toolwear.release.decisions import Outcome
from toolwear.release.gate import Check
from toolwear.release.registry import CHAMPION, Registry
from toolwear.workspace.home import Home

DECISION_FILE = "decision.json"


@dataclass(frozen=True)
class Judged:
    """What the challenger was judged on."""

    checks: list[Check]
    comparison: Comparison | None


def decide(
    folders: Folders,
    home: Home,
    mlflow_uri: str,
    model_name: str,
    data_digest: str,
    seed: int,
    output: Path,
    cause: str = "",
) -> Outcome:
    """Judge the challenger, write `decision.json` and the plot, return the decision.

    Args:
        folders: what the earlier steps left.
        home: where the packages are.
        mlflow_uri: registry; empty for the local one.
        model_name: of the registered model.
        data_digest: of the recordings that the challenger was trained on.
        seed: of the bootstrap.
        output: folder to make.
        cause: why the run was started.
    """
    evidence = evidences.read(folders)
    challenger = OnnxModel(folders.automl / evidences.MODEL)
    samples = dataset.load(folders.features, evidence.feature_set)
    splits = pd.read_parquet(folders.split / "splits.parquet")
    test = folds(schema.KNOWN_RUNS, samples, splits)[0].test_index
    registry = Registry(home, mlflow_uri, model_name)
    champion = _champion(registry)
    footprint = measure(folders.automl / evidences.MODEL, samples.X)
    judged = _judge(evidence, challenger, footprint, champion, samples, test, seed)
    if champion is not None and cause_of(cause) is Cause.NEW_DATA:
        judged.checks.append(_enough_new_data(champion, samples))
    facts = {
        "same_model": champion is not None
        and champion.package.model_sha256 == evidence.export["sha256"],
        "new_data": champion is not None
        and champion.package.description["data_digest"] != data_digest,
    }
    limits = thresholds().decision
    best, missing = None, list[str]()
    if champion is not None and judged.comparison is not None and facts["new_data"]:
        earlier, missing = earlier_champions(registry, champion, samples.columns)
        best = best_of(challenger, earlier, samples, test, seed)
    outcome, reasons = logic.choose(
        judged.checks, judged.comparison, limits, **facts, best=best[1] if best else None
    )
    use, use_reasons = logic.allowed_use(evidence.new_runs, limits)
    unasked = [
        f"The question {protocol} was not asked: {reason}"
        for protocol, reason in evidence.left_out.items()
        if reason not in use_reasons
    ]
    output.mkdir(parents=True)
    jsonfile.write(
        output / DECISION_FILE,
        {
            "decision": outcome,
            "promotes": outcome.promotes,
            "use": use,
            "reasons": [*reasons, *missing, *use_reasons, *unasked, *logic.withheld(judged.checks)],
            "left_out": dict(evidence.left_out),
            "checks": [logic.as_dict(check) for check in judged.checks],
            "champion": _described(champion, data_digest, dataset.names(folders.features)),
            "challenger": {
                "model_sha256": evidence.export["sha256"],
                "data_digest": data_digest,
                "feature_set": evidence.feature_set,
                "rows": len(test),
                "footprint": asdict(footprint),
                **facts,
            },
            "comparison": logic.as_dict(judged.comparison) if judged.comparison else None,
            "best_champion": {"version": best[0].version, **logic.as_dict(best[1])}
            if best
            else None,
            "new_runs": {
                "lower_bound": evidence.new_runs.lower_bound,
                "context_p": evidence.new_runs.context_p,
                "permutation_p": evidence.new_runs.permutation_p,
                "challenger": evidence.new_run,
                "champion": _grouped(champion),
            },
        },
    )
    plots.write(output / "decision.png", judged.checks, judged.comparison, outcome)
    report(f"{outcome}: {reasons[0]}")
    return outcome


def _judge(
    evidence: Evidence,
    challenger: OnnxModel,
    footprint: Footprint,
    champion: Champion | None,
    samples: Samples,
    test: np.ndarray,
    seed: int,
) -> Judged:
    limits = thresholds()
    unasked = evidence.left_out.get(schema.KNOWN_RUNS, "")
    checks = [
        logic.holds(
            "Recall of known runs", not unasked, Outcome.REFUSE_THRESHOLD, unasked.rstrip(".")
        ),
        logic.all_finite({} if unasked else _required(evidence), challenger.worn(samples.X[test])),
        logic.holds(
            "Critical checks of the recordings",
            evidence.data_valid,
            Outcome.REFUSE_DATA,
            "one failed",
        ),
    ]
    comparison = None
    if champion is not None:
        interface = logic.same_interface(samples.columns, champion.package.features)
        checks.append(interface)
        if interface.passed:
            comparison = score(challenger, champion, samples, test, seed)
    checks += _measured(evidence, limits)
    checks += logic.servable(footprint, limits)
    return Judged([*checks, *_explained(evidence, limits.decision)], comparison)


def _enough_new_data(champion: Champion, samples: Samples) -> Check:
    limits = thresholds().decision
    return logic.enough_new_data(*arrived(champion, samples), limits)


def _required(evidence: Evidence) -> dict[str, float | None]:
    names = ("accuracy", "precision", "recall", "f1", "mcc", "auc")
    return {name: evidence.known_runs.get(name) for name in names}


def _measured(evidence: Evidence, limits: Thresholds) -> list[Check]:
    limit = limits.decision
    known, export = evidence.known_runs, evidence.export
    return [
        logic.holds(
            "The exported graph",
            evidence.export_is_of_this_graph,
            Outcome.REFUSE_EXPORT,
            "is not the one that was compared with the model",
        ),
        logic.at_least(
            "Agreement of the graph's labels with the model's",
            export["label_agreement"],
            limits.export.label_agreement,
            Outcome.REFUSE_EXPORT,
        ),
        logic.at_most(
            "Largest difference of the graph's probabilities from the model's",
            export["max_abs_diff"],
            limits.export.probability_tolerance,
            Outcome.REFUSE_EXPORT,
        ),
        logic.at_least(
            "Agreement of the graph's labels with the whole ensemble's",
            export["full_ensemble"]["label_agreement"],
            limits.export.full_ensemble_agreement,
            Outcome.REFUSE_EXPORT,
        ),
        *logic.recall(known, evidence.asked),
        logic.at_most(
            "Largest share of labels that numerical noise changes",
            evidence.noise,
            limit.noise_changed_labels,
            Outcome.REFUSE_BRITTLE,
        ),
    ]


def _explained(evidence: Evidence, limit: Decision) -> list[Check]:
    return [
        logic.at_most(
            "Error of the SHAP values against the exact ones",
            evidence.quality("shap", "exact_error"),
            limit.shap_exact_error,
            Outcome.REFUSE_EXPLANATIONS,
        ),
        logic.at_least(
            "How much more P(worn) moves without the features that SHAP ranks first than without "
            "others",
            evidence.shap_deletion_gain,
            limit.shap_deletion_gain,
            Outcome.REFUSE_EXPLANATIONS,
        ),
        logic.at_least(
            "Fidelity of the surrogate tree",
            evidence.quality("surrogate", "fidelity"),
            limit.surrogate_fidelity,
            Outcome.REFUSE_EXPLANATIONS,
        ),
        logic.at_least(
            "Agreement of LIME's rankings over repeats with other seeds",
            evidence.quality("lime", "rank_correlation_mean"),
            limit.lime_rank_correlation,
            Outcome.REFUSE_EXPLANATIONS,
        ),
        logic.at_least(
            "LIME's share of explained rows in which its linear model is faithful",
            evidence.lime_faithful_share,
            limit.lime_faithful_share,
            None,
        ),
    ]


def _champion(registry: Registry) -> Champion | None:
    version = registry.at(CHAMPION)
    if version is None:
        return None
    package = registry.package(version)
    return Champion(version.number, package, OnnxModel(package.model))


def _described(
    champion: Champion | None, data_digest: str, feature_sets: Sequence[str]
) -> dict[str, Any] | None:
    if champion is None:
        return None
    description = champion.package.description
    return {
        "version": champion.version,
        "package_digest": champion.package.digest,
        "model_sha256": champion.package.model_sha256,
        "feature_set": description["feature_set"],
        "known_feature_set": description["feature_set"] in feature_sets,
        "data_digest": description["data_digest"],
        "same_data": description["data_digest"] == data_digest,
    }


def _grouped(champion: Champion | None) -> dict[str, Any] | None:
    """Return the champion's own figures on new runs: one model cannot be left out again today."""
    if champion is None:
        return None
    protocols = champion.package.metrics.get("protocols", {})
    figures: dict[str, Any] | None = protocols.get(schema.NEW_RUN, {}).get(schema.AUTO_SKLEARN)
    return figures
