"""What auto-sklearn may search, and how it builds its ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# On a third of the training rows, held out, boosting ranks first (log loss 0.02) and forests
# follow (0.03 to 0.06); random forests take three times as long as extra trees and joined no
# ensemble. Two cheap models of another kind are for the small grouped searches, where simpler
# can be better. k nearest neighbours stay out: ties among
# distances are broken differently in an ONNX graph, so its probabilities cannot be reproduced.
# All of these convert within 1e-7.
CLASSIFIERS = ("gradient_boosting", "extra_trees", "decision_tree", "lda")
# Trees choose among the features by themselves. With polynomials boosting made as many errors (67
# against 70 of 14,016, cross-validated within the training rows) for two to ten times the time,
# and on a busy machine ran into its limit. Rescalers cannot be restricted in auto-sklearn 0.15.
FEATURE_PREPROCESSORS = ("no_preprocessing",)

# Few members, each good by itself: with accuracy as the metric and fifty candidates the ensemble
# takes in models that are no better than chance.
ENSEMBLE_CANDIDATES = 8
ENSEMBLE_VOTES = 20

MINIMUM_SECONDS = 10
MINIMUM_MEMORY_MB = 2500  # address space of an evaluation; boosting crashes below 2200
_NO_TIME_LIMIT = 24 * 3600
_AUTO_SKLEARN_MINIMUM = 30  # it refuses less; SMAC's own limit then ends the search earlier
_START_AND_END = 10  # seconds that it takes itself, before and after the evaluations


def search_space() -> dict[str, Any]:
    """Return the `include` of AutoSklearnClassifier."""
    return {
        "classifier": list(CLASSIFIERS),
        "feature_preprocessor": list(FEATURE_PREPROCESSORS),
    }


@dataclass(frozen=True)
class Limits:
    """How a budget is told to auto-sklearn: seconds of all and of one evaluation, and SMAC's own.

    SMAC is the optimizer that auto-sklearn drives.
    """

    task: int
    evaluation: int
    optimizer: dict[str, int]


def limits(seconds: int, evaluations: int) -> Limits:
    """Return the limits of a search by evaluations, if there are any, and else by time."""
    if evaluations:
        # Both times are out of reach, or the load of the machine would decide what is found.
        return Limits(_NO_TIME_LIMIT, _NO_TIME_LIMIT // 24, {"runcount_limit": evaluations})
    # A tenth for one evaluation bounds the refit, too, which repeats a few of them on half as
    # many rows again.
    return Limits(
        task=max(seconds, _AUTO_SKLEARN_MINIMUM),
        evaluation=max(seconds // 10, min(seconds // 2, 20)),
        optimizer={"wallclock_limit": max(seconds - _START_AND_END, MINIMUM_SECONDS)},
    )
