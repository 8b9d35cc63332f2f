"""All six methods on one model: what is computed, on which rows, at which sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.explain.choose import KINDS, choose
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.explain import findings
from toolwear.explain.methods import (
    anchor_rule,
    ice_pdp,
    lime_local,
    shap_check,
    shap_paired,
    surrogate_tree,
)
from toolwear.explain.methods.ice_pdp import Curves
from toolwear.explain.methods.shap_paired import PairedSettings
from toolwear.explain.methods.subject import Envelope, Subject
from toolwear.model.reference import BACKGROUND_ROWS

# The sample behind the global figures: rows per explained prediction, and at most, and what each
# is walked from.
_SAMPLE_PER_ROW, _SAMPLE_LIMIT = 16, 128
_SAMPLE_SETTINGS = PairedSettings(background_rows=40)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows that the model has not been trained on.

    Attributes:
        X: float64 (n, features).
        y: labels, int (n,).
        run: run ids, str (n,).
        sample_id: str (n,).
    """

    X: np.ndarray
    y: np.ndarray
    run: np.ndarray
    sample_id: np.ndarray


@dataclass(frozen=True, eq=False)
class Explained:
    """What the step writes and draws.

    Attributes:
        methods: envelope of shap, lime, anchor, ice, pdp and surrogate.
        manifest: chosen rows, findings, agreement of methods and the attribution reference.
        curves: of ICE and PDP, by feature.
        sample: rows of the global SHAP sample, (m, features).
        sample_values: their SHAP values, (m, features).
    """

    methods: dict[str, Envelope]
    manifest: dict[str, Any]
    curves: dict[str, Curves]
    sample: np.ndarray
    sample_values: np.ndarray


def explain_model(
    subject: Subject, test: HeldOut, rows: int, tell: Callable[[str], None]
) -> Explained:
    """Run every method.

    Args:
        subject: the model, with its training rows as background.
        test: rows to explain and to measure the explanations on.
        rows: predictions to explain one by one.
        tell: is told the progress.

    Raises:
        ToolwearError: there is no test row, or no row is wanted.
    """
    if rows < 1:
        raise ToolwearError(f"At least 1 prediction must be explained, not {rows}.")
    test_X = subject.checked(test.X, "test rows")
    worn = subject.predict(test_X)
    chosen = choose(test.y, worn, test.run, rows, subject.seed)
    positions = [c.position for c in chosen]
    points = test_X[positions]
    tell(f"SHAP and LIME for {len(points)} predictions")
    against = subject.drawn(BACKGROUND_ROWS)
    background_worn = against.predict(against.background)
    settings = PairedSettings(len(background_worn))
    shap = shap_paired.explain(against, points, background_worn, settings)
    values = np.array([row["values"] for row in shap["data"]["rows"]])
    shap["quality"] |= shap_check.quality(subject, points, values, BACKGROUND_ROWS)
    shap["quality"]["base_error"] = abs(
        shap["data"]["base_value"] - shap["quality"]["base_population"]
    )
    lime = lime_local.explain(subject, points)
    draw = np.random.default_rng(subject.seed)
    size = min(_SAMPLE_LIMIT, _SAMPLE_PER_ROW * rows, len(test_X))
    sample = test_X[np.sort(draw.choice(len(test_X), size, replace=False))]
    tell(f"SHAP for the whole: {size} test rows")
    attributed = shap_paired.attribute(against, sample, background_worn, _SAMPLE_SETTINGS)
    reference = findings.importance(subject.names, attributed) | {
        "settings": vars(_SAMPLE_SETTINGS),
        "seed": subject.seed,
        "split": f"{schema.KNOWN_RUNS}, test",
    }
    shap["data"]["global"] = reference
    tell(f"ICE and PDP of {len(subject.names)} features, surrogate tree")
    curves = ice_pdp.curves(subject, points)
    ice, pdp = ice_pdp.envelopes(subject, curves)
    surrogate = surrogate_tree.explain(subject, test_X)
    tell(f"anchor rules for {len(points)} predictions")
    anchor = anchor_rule.explain(subject, points, test_X)
    methods = {
        "shap": shap,
        "lime": lime,
        "anchor": anchor,
        "ice": ice,
        "pdp": pdp,
        "surrogate": surrogate,
    }
    agreed = findings.agreement(shap, lime)
    manifest = {
        "split": f"{schema.KNOWN_RUNS}, test",
        "seed": subject.seed,
        "model_sha256": subject.model_sha256,
        "features": list(subject.names),
        "kinds": KINDS,
        "rows": [
            {
                "sample_id": str(test.sample_id[c.position]),
                "run": str(test.run[c.position]),
                "kind": c.kind,
                "label": schema.CLASSES[int(test.y[c.position])],
                "worn": float(worn[c.position]),
            }
            for c in chosen
        ],
        "findings": findings.sentences(methods, reference, agreed),
        "agreement": agreed,
        "attribution_reference": reference,
    }
    return Explained(methods, manifest, curves, sample, attributed.values)
