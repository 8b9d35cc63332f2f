"""The fixed words of a decision: graphs branch on them, reports and the registry keep them."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What becomes of a challenger. Words are added, never renamed."""

    PROMOTE_FIRST = "promote_first"  # there is no champion yet
    PROMOTE_BETTER = "promote_better"  # the interval of the difference lies above zero
    PROMOTE_NEWER = "promote_newer"  # knows newer data and is not worse
    KEEP_SAME = "keep_same"  # it is the champion
    KEEP_TIE = "keep_tie"
    KEEP_WORSE = "keep_worse"
    KEEP_BELOW_BEST = "keep_below_best"  # newer, but may be too far below the best there has been
    KEEP_NOT_ENOUGH_NEW_DATA = "keep_not_enough_new_data"  # too little for a run that it caused
    REFUSE_NAN = "refuse_nan"  # a figure or an answer is not a number
    REFUSE_SCHEMA_CHANGED = "refuse_schema_changed"  # callers would have to change
    REFUSE_EXPORT = "refuse_export"  # the exported graph is not the model
    REFUSE_DATA = "refuse_data"  # the recordings failed a critical check
    REFUSE_THRESHOLD = "refuse_threshold"
    REFUSE_SLOW = "refuse_slow"
    REFUSE_TOO_LARGE = "refuse_too_large"  # a server's pod has not the memory
    REFUSE_BRITTLE = "refuse_brittle"  # numerical noise changes its labels
    REFUSE_EXPLANATIONS = "refuse_explanations"  # they are wrong, or change with the seed
    REFUSE_POISONED = "refuse_poisoned"  # the guard stopped the run before anything was trained
    REFUSE_BY_PERSON = "refuse_by_person"  # it won, was held, and a person said no
    SERVE_CHECK_FAILED = "serve_check_failed"  # the served package answered otherwise

    @property
    def promotes(self) -> bool:
        """Whether the challenger becomes champion."""
        return self.name.startswith("PROMOTE_")


KNOWN_RUNS_ONLY, NEW_RUNS = "known_runs_only", "new_runs"
