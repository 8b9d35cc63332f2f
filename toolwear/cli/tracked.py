"""The MLflow run of a run on this machine, from its first moment to its last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolwear.common.errors import ToolwearError
from toolwear.common.states import State
from toolwear.release.agreement import changed_by_hand
from toolwear.release.patience import impatient
from toolwear.release.registry import CHAMPION, Registry, mlflow_module
from toolwear.release.tracking import HERE, Beginning, Tracking
from toolwear.run import run_folder
from toolwear.run.config import RunParameters
from toolwear.run.run_folder import FAILURE_FILE, REPORT_FILE, SUMMARY_FILE
from toolwear.workspace.home import Home

_FILES = (REPORT_FILE, SUMMARY_FILE, FAILURE_FILE)
_SHOWN = 200  # characters of an error
# In words of their own, or too long for a parameter.
_NO_PARAMETERS = ("cause", "model_name", "dataset", "accept_runs")


def check_registry(home: Home, model: str) -> None:
    """Refuse to judge a model against another champion than the one that is served.

    Args:
        home: the system's folder.
        model: name of the registered model.

    Raises:
        ToolwearError: registry and servers differ, or the registry does not answer.
    """
    if not home.has_registry():
        return
    exceptions = mlflow_module().exceptions
    try:
        with impatient():
            registry = Registry(home, "", model)
            registry.at(CHAMPION)  # whose answer the steps need, before hours of work
            fault = changed_by_hand(registry)
    except exceptions.MlflowException as error:
        if home.tracking_uri() == home.local_registry:
            raise
        raise ToolwearError(
            f"MLflow at {home.tracking_uri()} does not answer ({str(error)[:_SHOWN]}), and no "
            "model can be held against a champion that nobody knows; start it."
        ) from None
    if fault:
        raise ToolwearError(fault)


@contextmanager
def tracked(folder: Path, arguments: Mapping[str, Any]) -> Iterator[Tracking]:
    """Yield the MLflow run of a run, for its begin; after the block MLflow is told how it ended.

    Args:
        folder: of the run.
        arguments: of the graph.
    """
    parameters = {
        name: arguments[name] for name in RunParameters.model_fields if name not in _NO_PARAMETERS
    }
    lineage = {name: arguments[name] for name in ("cause", "commit", "data_digest", "graph_digest")}
    known = Beginning(folder.name, parameters, source=HERE, **lineage)
    tracking = Tracking(Home(folder.parent), "", arguments["model_name"], known)
    try:
        yield tracking
    except Exception as error:
        tracking.end(State.FAILED, f"{type(error).__name__}: {error}", {})
        raise
    except SystemExit:  # a step failed, or somebody ended the run
        _end(tracking, folder)
        raise
    _end(tracking, folder)


def _end(tracking: Tracking, folder: Path) -> None:
    tracking.end(*run_folder.ended(folder), {name: folder / name for name in _FILES})
