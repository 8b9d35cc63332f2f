"""What every task of a graph gets on a cluster: its name, resources, cache and code digest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kfp.dsl import PipelineTask

from components.core.config import RunParameters
from components.core.fingerprint import step_fingerprint

CODE_DIGEST = "TOOLWEAR_CODE_DIGEST"
MAIN_LOCK, AUTOML_LOCK = "main.txt", "automl.txt"


@dataclass(frozen=True)
class TaskSettings:
    """One task: its sentence in the UI, requests and limits, and whether it may be cached."""

    says: str
    cpu: tuple[str, str] = ("250m", "1")
    memory: tuple[str, str] = ("512Mi", "2Gi")
    cached: bool = True
    lock: str = MAIN_LOCK


SETTINGS = {
    "ingest": TaskSettings("Read the recordings"),
    "validate": TaskSettings("Check the recordings", memory=("1Gi", "3Gi")),
    "features": TaskSettings("Compute the features and join them in time", memory=("1Gi", "3Gi")),
    "guard": TaskSettings("Look for poison in the data", memory=("1Gi", "3Gi"), cached=False),
    "split": TaskSettings("Split three ways and look for leaks", memory=("1Gi", "3Gi")),
    "train": TaskSettings("Train the baselines and test against chance", memory=("1Gi", "3Gi")),
    "automl": TaskSettings(
        "Search for the best model",
        cpu=("1", "2"),
        memory=("3Gi", "14Gi"),
        lock=AUTOML_LOCK,
    ),
    "evaluate": TaskSettings("Measure every model with its interval", memory=("1Gi", "3Gi")),
    "explain": TaskSettings("Explain the model six ways", memory=("1Gi", "3Gi")),
    # What decides or acts is never taken from a cache.
    "decide": TaskSettings("Judge challenger against champion", cached=False),
    "register": TaskSettings("Register the challenger with its card", cached=False),
    "serve_check": TaskSettings("Ask the served model for known answers", cached=False),
    "promote": TaskSettings("Make the challenger the champion", cached=False),
    "decline": TaskSettings("Leave the champion as it is and say why", cached=False),
    "report": TaskSettings("Write the report", cached=False),
    "finish": TaskSettings("Say how the run ended", cached=False),
}


def apply(task: PipelineTask, step: str) -> PipelineTask:
    """Give `task` the settings of `step` and return it."""
    settings = SETTINGS[step]
    task.set_display_name(settings.says)
    task.set_cpu_request(settings.cpu[0]).set_cpu_limit(settings.cpu[1])
    task.set_memory_request(settings.memory[0]).set_memory_limit(settings.memory[1])
    task.set_caching_options(settings.cached)
    # kfp's local cache knows a step's few lines only; this tells it of the modules behind them.
    task.set_env_variable(CODE_DIGEST, step_fingerprint(step, settings.lock))
    return task


# Parameters that whoever submits a run fills in, beside those that a person configures.
LINEAGE = {
    "data_digest": "SHA-256 that the recordings must have; empty to take them as they are.",
    "commit": "Commit of the code, for the lineage.",
    "graph_digest": "Digest of the compiled graph, for the lineage.",
}


def described(graph: Callable[..., Any]) -> Callable[..., Any]:
    """Give a graph's parameters the descriptions of the configuration, for the KFP form."""
    says = {name: field.description for name, field in RunParameters.model_fields.items()} | LINEAGE
    names = graph.__code__.co_varnames[: graph.__code__.co_argcount]
    lines = [f"    {name}: {says[name]}" for name in names]
    graph.__doc__ = "\n".join([str(graph.__doc__), "", "Args:", *lines])
    return graph
