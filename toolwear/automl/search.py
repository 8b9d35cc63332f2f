"""One search with auto-sklearn: Feurer et al., Auto-Sklearn 2.0, JMLR 23, 2022."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from autosklearn.classification import AutoSklearnClassifier
from autosklearn.metrics import log_loss
from autosklearn.smbo import get_smac_object
from ConfigSpace.util import deactivate_inactive_hyperparameters
from sklearn.model_selection import PredefinedSplit

from toolwear.automl import record, space
from toolwear.automl.cluster import Workers, cluster
from toolwear.automl.export.ensemble import Member
from toolwear.automl.progress import Progress
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report

_SHARE_HELD_OUT = 0.33  # of the training rows, to rank models; auto-sklearn's default
_ATTEMPTS = 3


@dataclass(frozen=True)
class Budget:
    """What a search may use.

    Attributes:
        seconds: of wall time; not used with `evaluations`.
        evaluations: number of models tried; 0: by time.
        memory_mb: memory limit of the evaluations that run at a time, together, MiB.
        jobs: evaluations that run at a time on this machine.
        dask: address of a Dask scheduler whose workers run them instead, one each; empty: none.
    """

    seconds: int
    evaluations: int
    memory_mb: int
    jobs: int = 1
    dask: str = ""


@dataclass(frozen=True)
class Found:
    """A fitted ensemble and how it was found.

    Attributes:
        members: fitted on all rows that the search was given.
        history: JSON values: leaderboard, trajectory, counts, ensemble, seconds.
    """

    members: list[Member]
    history: dict[str, Any]


def search(
    X: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray | None,
    budget: Budget,
    seed: int,
    folder: Path,
    progress: Progress,
) -> Found:
    """Search, build the ensemble and fit it again on all rows.

    Args:
        X: float64 (rows, features); an array, since auto-sklearn's refit fails on data frames.
        y: 0 or 1, (rows,).
        folds: number of the fold in which a row is held out when models are ranked, int (rows,);
            None: a third of the rows is held out at random.
        budget: time or evaluations.
        seed: of the search; with a budget in evaluations and one job the result is repeatable.
        folder: for auto-sklearn's own files; need not exist.
        progress: told of each evaluation.

    Raises:
        ToolwearError: the time is too short to try one model.
    """
    started = time.time()
    classifier = _searched(X, y, folds, budget, seed, folder, progress)
    searched = time.time()
    members = len(classifier.get_models_with_weights())
    progress.tell(f"fitting {members} member(s) again on all {len(y)} rows", seconds=0)
    classifier.refit(X, y)
    found = [Member(float(weight), part) for weight, part in classifier.get_models_with_weights()]
    progress.done()
    history = record.history(classifier, found)
    history["jobs"] = classifier.n_jobs  # a Dask cluster has its own number
    history["seconds"] = {"search": searched - started, "refit": time.time() - searched}
    return Found(found, history)


def _searched(
    X: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray | None,
    budget: Budget,
    seed: int,
    folder: Path,
    progress: Progress,
) -> Any:
    """Return a classifier that has searched, with more time if none was enough to try one model."""
    with cluster(budget.dask) as workers:
        for attempt in range(_ATTEMPTS):
            seconds = budget.seconds * 2**attempt
            classifier = _classifier(
                replace(budget, seconds=seconds),
                folds,
                seed,
                folder.with_name(f"{folder.name}-{attempt}"),
                progress,
                workers,
            )
            progress.tell("starting auto-sklearn", seconds=0 if budget.evaluations else seconds)
            try:
                classifier.fit(X, y)
            except UnboundLocalError:  # what auto-sklearn 0.15 ends with when it has tried nothing
                report(f"no model was tried in {seconds} s; searching again with twice the time")
                continue
            return classifier
    raise ToolwearError(
        f"No model could be tried within {seconds} s; raise the seconds of the searches."
    )


def _classifier(
    budget: Budget,
    folds: np.ndarray | None,
    seed: int,
    folder: Path,
    progress: Progress,
    workers: Workers | None,
) -> Any:
    def told(_smbo: Any, _run: Any, result: Any, _left: float) -> None:
        ensemble = classifier.automl_._backend.load_ensemble(seed)
        members = len(ensemble.get_selected_model_identifiers()) if ensemble else 0
        progress.evaluated(float(result.cost), result.status.name == "SUCCESS", members)

    limits = space.limits(budget.seconds, budget.evaluations)
    classifier: Any = AutoSklearnClassifier(
        time_left_for_this_task=limits.task,
        per_run_time_limit=limits.evaluation,
        metric=log_loss,
        include=space.search_space(),
        ensemble_nbest=space.ENSEMBLE_CANDIDATES,
        ensemble_kwargs={"ensemble_size": space.ENSEMBLE_VOTES},
        memory_limit=budget.memory_mb if workers else budget.memory_mb // budget.jobs,
        n_jobs=workers.count if workers else budget.jobs,
        dask_client=workers.client if workers else None,
        seed=seed,
        tmp_folder=str(folder),
        # float64 stays float64: thresholds of trees coincide with values of the data.
        dataset_compression=False,
        smac_scenario_args=limits.optimizer,
        get_trials_callback=told,
        get_smac_object_callback=_optimizer,
        logging_config=_logging(),
        **_resampling(folds),
    )
    return classifier


def _optimizer(**arguments: Any) -> Any:
    """Return auto-sklearn's optimizer, told to try each classifier's default first.

    What metalearning suggests comes after, as far as the evaluations reach: SMAC refuses more.
    """
    scenario = arguments["scenario_dict"]
    configurations = scenario["cs"]
    defaults = {part.name: part.default_value for part in configurations.get_hyperparameters()}
    first = [
        deactivate_inactive_hyperparameters(
            {**defaults, "classifier:__choice__": classifier}, configurations
        )
        for classifier in space.CLASSIFIERS
    ]
    # auto-sklearn itself puts the default of the whole space in front.
    suggested = [*first, *arguments.pop("metalearning_configurations")]
    known = [configurations.get_default_configuration()]
    for configuration in suggested:
        if configuration not in known:
            known.append(configuration)
    count = scenario.get("runcount_limit", len(known))
    return get_smac_object(metalearning_configurations=known[1:count], **arguments)


def _resampling(folds: np.ndarray | None) -> dict[str, Any]:
    if folds is not None:
        return {"resampling_strategy": PredefinedSplit(folds)}
    return {
        "resampling_strategy": "holdout",
        "resampling_strategy_arguments": {"train_size": 1 - _SHARE_HELD_OUT},
    }


def _logging() -> dict[str, Any]:
    """Return where auto-sklearn logs: to its folder; a person is told by `progress`.

    A new one each time, since auto-sklearn writes the folder into it.
    """
    file = {"class": "logging.FileHandler", "level": "INFO"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "console": {"class": "logging.StreamHandler", "level": "ERROR"},
            "file_handler": {**file, "filename": "autosklearn.log"},
            "distributed_logfile": {**file, "filename": "distributed.log"},
        },
        "root": {"level": "INFO", "handlers": ["console", "file_handler"]},
        "loggers": {"distributed": {"level": "INFO", "handlers": ["distributed_logfile"]}},
    }
