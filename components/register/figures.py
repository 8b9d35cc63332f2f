"""What a run in MLflow shows: a dozen figures, all others in a table, and the models beside."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from toolwear.common import jsonfile
from toolwear.dataset import schema
from toolwear.release.registry import Registry
from toolwear.release.tracking import experiment_id

TABLE_FILE = "figures.json"
_OF_A_MODEL = ("accuracy", "precision", "recall", "f1", "mcc", "auc", "brier", "log_loss")
_HEADLINE = {
    schema.KNOWN_RUNS: ("accuracy", "mcc", "auc"),
    schema.NEW_RUN: ("accuracy",),
    schema.NEW_SETTING: ("accuracy",),
}
_PARENT = "mlflow.parentRunId"
_PAGE = 1000
_LONGEST = 500  # of a parameter: MLflow refuses longer ones


def headline(
    metrics: Mapping[str, Any],
    abstention: Mapping[str, Any],
    search: Mapping[str, Any],
    footprint: Mapping[str, Any],
) -> dict[str, float]:
    """Return the dozen figures of a run that are compared with those of others.

    Args:
        metrics: content of metrics.json.
        abstention: content of abstention.json.
        search: content of search.json.
        footprint: what the model asks of a server.
    """
    found: dict[str, Any] = {}
    for protocol, names in _HEADLINE.items():
        figures = metrics["protocols"].get(protocol, {}).get(schema.AUTO_SKLEARN, {})
        found |= {f"{protocol}.{name}": figures.get(name) for name in names}
    for name, part in (("known_runs", "test"), ("unseen_runs", "unseen")):
        told = abstention.get(part) or {}
        found[f"{name}.answered"] = told.get("coverage")
        found[f"{name}.accuracy_of_answers"] = told.get("accuracy")
    found["noise_changed_labels"] = metrics["noise"]["changed_labels"]
    costs = [trial["cost"] for trial in search.get("leaderboard", ())]
    found["search.log_loss"] = min((cost for cost in costs if cost is not None), default=None)
    found |= {name: footprint[name] for name in ("memory_mib", "milliseconds_per_row")}
    return numbers(found)


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return what of a mapping is a finite number."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def table(metrics: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return every figure of every model with its interval, as columns of one long table."""
    columns = ("protocol", "model", "figure", "value", "low", "high")
    rows = []
    for protocol, models in metrics["protocols"].items():
        for model, figures in models.items():
            intervals = figures.get("interval") or {}
            for name, value in numbers(figures).items():
                bounds = intervals.get(name)
                low, high = bounds if isinstance(bounds, list) else (None, None)
                rows.append((protocol, model, name, value, low, high))
    return {name: [row[place] for row in rows] for place, name in enumerate(columns)}


@dataclass(frozen=True)
class Child:
    """A run below the run: a search, a baseline or an outer fold.

    Attributes:
        name: of it, unlike those beside it.
        params: what it was made with.
        metrics: values and steps of its figures.
    """

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Sequence[tuple[float, int]]]


def children(metrics: Mapping[str, Any], search: Mapping[str, Any]) -> Iterator[Child]:
    """Yield the runs below a run: the search, each outer fold, each model beside the search's.

    Args:
        metrics: content of metrics.json.
        search: content of search.json.
    """
    plain = (str, int, float, bool)
    settings = {name: v for name, v in search["settings"].items() if isinstance(v, plain)}
    yield Child("search", settings, _trials(search))
    for fold in search.get("outer", ()):
        name = f"fold {fold['protocol']} {fold['fold']}"
        held_out = ", ".join(fold["held_out"])[:_LONGEST]
        about = {"protocol": fold["protocol"], "held_out": held_out, **fold.get("rows", {})}
        yield Child(name, about, _trials(fold) | _verdict(metrics, fold))
    for model in schema.MODELS:
        asked = {p: models[model] for p, models in metrics["protocols"].items() if model in models}
        if model != schema.AUTO_SKLEARN and asked:
            sets = {f"{p}.features": figures.get("feature_set") for p, figures in asked.items()}
            values = {
                f"{p}.{name}": [(value, 0)]
                for p, figures in asked.items()
                for name, value in numbers({k: figures.get(k) for k in _OF_A_MODEL}).items()
            }
            yield Child(f"baseline {model}", sets, values)


def _trials(search: Mapping[str, Any]) -> dict[str, list[tuple[float, int]]]:
    """Return cost and seconds of the models that were tried, by the number of the trial."""
    tried = sorted(search.get("leaderboard", ()), key=lambda one: one.get("trial", 0))
    done = [one for one in tried if one["cost"] is not None]
    if not done:
        return {}
    steps = [one.get("trial", place) for place, one in enumerate(done, 1)]
    costs = [one["cost"] for one in done]
    best = list(accumulate(costs, min))
    seconds = [one["duration"] for one in done]
    found = {"log_loss": costs, "best_log_loss": best, "seconds": seconds}
    return {name: list(zip(values, steps, strict=True)) for name, values in found.items()}


def _verdict(
    metrics: Mapping[str, Any], fold: Mapping[str, Any]
) -> dict[str, list[tuple[float, int]]]:
    """Return what the fold's search said of the runs that were held out, if it was asked."""
    figures = metrics["protocols"].get(fold["protocol"], {}).get(schema.AUTO_SKLEARN, {})
    of = schema.SETTING if fold["protocol"] == schema.NEW_SETTING else schema.RUN_ID
    held = set(fold["held_out"])
    asked = [
        item
        for item in figures.get("per_run", ())
        if item[of] in held or schema.recording_of(item[schema.RUN_ID]) in held
    ]
    if not asked:
        return {}
    right = sum(item["correct"] for item in asked) / len(asked)
    return {"runs": [(float(len(asked)), 0)], "share_of_runs_right": [(right, 0)]}


def log_children(registry: Registry, run_id: str, evaluation: Path, automl: Path) -> None:
    """Write the runs below a run to MLflow, those that are not there yet.

    Args:
        registry: where MLflow is.
        run_id: of the run.
        evaluation: output of evaluate.
        automl: output of the search.
    """
    from mlflow.entities import Metric, Param

    client, experiment = registry.client, experiment_id(registry)
    below = client.search_runs([experiment], f"tags.`{_PARENT}` = '{run_id}'", max_results=_PAGE)
    there = {one.info.run_name for one in below if one.info.status == "FINISHED"}
    metrics = jsonfile.read(evaluation / "metrics.json")
    user = client.get_run(run_id).data.tags.get("mlflow.user", "")
    for child in children(metrics, jsonfile.read(automl / "search.json")):
        if child.name in there:
            continue
        about = {_PARENT: run_id, "mlflow.user": user}
        made = client.create_run(experiment, tags=about, run_name=child.name).info.run_id
        now = int(time.time() * 1000)
        client.log_batch(
            made,
            metrics=[
                Metric(name, value, now, step)
                for name, values in child.metrics.items()
                for value, step in values
            ],
            params=[Param(name, str(value)) for name, value in child.params.items() if value],
        )
        client.set_terminated(made)
