"""Does the served model's search judge new runs better than what is known without measuring?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from toolwear.dataset import schema
from toolwear.evaluation.names import model_name
from toolwear.evaluation.paired import better
from toolwear.evaluation.protocols import recordings

# What needs no telemetry: the commoner label, the settings, and the time that the tool has cut.
CONTEXT = (schema.MAJORITY, schema.SETTINGS_ONLY, schema.CONTEXT)


def against_context(predictions: pd.DataFrame, feature_set: str, seed: int) -> dict[str, Any]:
    """Return how auto-sklearn compares with context on recordings that were left out.

    Args:
        predictions: long tables of all models together.
        feature_set: of which the question is asked.
        seed: of the test.

    Returns:
        `feature_set`; `recordings` that were judged, of `there_are`; `accuracy` of rows and of the
        `strongest` of those it is compared with; `against`: by model what `paired.better` returns;
        `p`: the largest of theirs, for it has to beat them all (Berger 1982, intersection-union
        test), None if nothing was compared.
    """
    asked = predictions[
        (predictions["protocol"] == schema.NEW_RUN) & (predictions["feature_set"] == feature_set)
    ]
    models = {str(name): rows for name, rows in asked.groupby("model", sort=False)}
    found: dict[str, Any] = {"feature_set": feature_set, "p": None, "against": {}}
    if schema.AUTO_SKLEARN not in models:
        return found
    ours = _right(models.pop(schema.AUTO_SKLEARN))
    run = ours.index.get_level_values(schema.RUN_ID).to_numpy(dtype=str)
    others = {name: _right(models[name]) for name in CONTEXT if name in models}
    accuracy: dict[str, float] = {}
    for name, right in others.items():
        theirs = right.reindex(ours.index)
        accuracy[name] = float(theirs.mean())
        found["against"][name] = better(
            ours.to_numpy(), theirs.to_numpy(dtype=bool), recordings(run), seed
        )
    if not accuracy:
        return found
    strongest = max(accuracy, key=lambda name: accuracy[name])
    every = asked[schema.RUN_ID].unique().astype(str)
    return {
        **found,
        "recordings": int(np.unique(recordings(run)).size),
        "there_are": int(np.unique(recordings(every)).size),
        "accuracy": float(ours.mean()),
        "strongest": {"model": strongest, "accuracy": accuracy[strongest]},
        "p": max(item["p"] for item in found["against"].values()),
    }


def _right(rows: pd.DataFrame) -> pd.Series:
    keyed = rows.set_index([schema.SAMPLE_ID, schema.RUN_ID])
    right: pd.Series = (keyed["p"] > 0.5) == (keyed["y"] == 1)
    return right


def sentence(found: dict[str, Any], level: float) -> str:
    """Return what the comparison says; empty if there is none.

    Args:
        found: what `against_context` returned.
        level: what p has to be below.
    """
    if found["p"] is None:
        return ""
    strongest = found["strongest"]
    tested = found["against"][max(found["against"], key=lambda n: found["against"][n]["p"])]
    how = "all signs" if tested["exact"] else "drawn signs"
    verdict = "better than context alone" if found["p"] < level else "not shown to be better"
    return (
        f"On {found['recordings']} of {found['there_are']} recordings that it has not seen, "
        f"auto-sklearn is right in {found['accuracy']:.1%} of the rows; of what needs no "
        f"telemetry, {model_name(strongest['model'])} comes closest with "
        f"{strongest['accuracy']:.1%}. Over recordings that is {verdict} (largest p = "
        f"{found['p']:.2g}; differences of recordings, {how})."
    )
