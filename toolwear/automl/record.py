"""What a search has tried and chosen, as JSON values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from toolwear.automl.export.ensemble import Member

_NO_COST = 1e9  # SMAC's cost of what did not finish is the largest int32
_RESCALING = "data_preprocessor:feature_type:numerical_transformer:rescaling:__choice__"


def history(classifier: Any, members: Sequence[Member]) -> dict[str, Any]:
    """Return the leaderboard, the trajectory, the counts and the ensemble of a fitted search.

    Costs are log losses on the rows held out inside the search, the lower the better.
    """
    # A search that ended before its first evaluation has neither history nor trajectory.
    runs = getattr(classifier.automl_, "runhistory_", None)
    trajectory = getattr(classifier.automl_, "trajectory_", None) or []
    tried = runs.data.items() if runs else ()
    entries = [{"trial": n, **_entry(runs, *one)} for n, one in enumerate(tried, 1)]
    entries.sort(key=lambda entry: (entry["cost"] is None, entry["cost"]))
    for rank, entry in enumerate(entries, 1):
        entry["rank"] = rank if entry["cost"] is not None else None
    return {
        "leaderboard": entries,
        "trajectory": [
            {"seconds": point.wallclock_time, "cost": point.train_perf}
            for point in trajectory
            if point.train_perf < _NO_COST
        ],
        "counts": {
            "evaluations": len(entries),
            **Counter(str(entry["status"]) for entry in entries),
        },
        "ensemble": [_member(member) for member in members],
    }


def _entry(runs: Any, key: Any, value: Any) -> dict[str, Any]:
    config = runs.ids_config[key.config_id].get_dictionary()
    succeeded = value.status.name == "SUCCESS"
    return {
        "cost": float(value.cost) if succeeded else None,
        "duration": float(value.time),
        "status": value.status.name.lower(),
        **_parts(config),
    }


def _member(member: Member) -> dict[str, Any]:
    if member.is_dummy:
        return {"weight": member.weight, "classifier": member.classifier}
    return {"weight": member.weight, **_parts(member.pipeline.config.get_dictionary())}


def _parts(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "classifier": config["classifier:__choice__"],
        "feature_preprocessor": config["feature_preprocessor:__choice__"],
        "rescaling": config[_RESCALING],
        "config": dict(sorted(config.items())),
    }
