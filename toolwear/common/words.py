"""What people read for the fixed words of decisions, outcomes, uses, causes and states.

Programs keep the words; pages and the terminal show these texts. Kept to the standard library.
"""

from __future__ import annotations

_DECISIONS = {
    "promote_first": "Accepted (first model)",
    "promote_better": "Accepted: better than the champion",
    "promote_newer": "Accepted: trained on newer data and no worse than the champion",
    "keep_same": "Champion kept: the new model is identical",
    "keep_tie": "Champion kept: no significant difference",
    "keep_worse": "Champion kept: the new model is worse",
    "keep_not_enough_new_data": "Champion kept: not enough new data",
    "refuse_nan": "Rejected: a figure is not a number",
    "refuse_schema_changed": "Rejected: it needs other features than the champion",
    "refuse_export": "Rejected: the ONNX graph differs from the trained model",
    "refuse_data": "Rejected: the recordings failed a critical check",
    "refuse_threshold": "Rejected: accuracy below the limit",
    "keep_below_best": "Champion kept: the new model may be worse than the best champion so far",
    "refuse_slow": "Rejected: prediction is too slow",
    "refuse_too_large": "Rejected: it needs more memory than a server has",
    "refuse_brittle": "Rejected: numerical noise changes its answers",
    "refuse_explanations": "Rejected: the explanations are wrong or unstable",
    "refuse_poisoned": "Rejected: the recordings look poisoned or nobody has vouched for them",
    "refuse_by_person": "Rejected by a person",
    "serve_check_failed": "Rejected: the served model answered differently from the evaluation",
}
# What was done about the champion.
_OUTCOMES = {
    "promoted": "is the champion now",
    "already_champion": "is the champion already",
    "canary_started": "started as a canary",
    "shadow_started": "started as a shadow",
    "held": "is held for approval",
    "champion_moved": "was not promoted: the champion changed meanwhile",
    "withdrawn_before": "was not promoted: it was rolled back before",
    "rollout_busy": "was not promoted: another rollout is in progress",
}
_CAUSES = {
    "on_demand": "started by hand",
    "schedule": "scheduled",
    "new_data": "new recordings arrived",
    "degradation": "accuracy dropped",
    "distribution_change": "the distribution changed",
}
_USES = {
    "known_runs_only": "recordings that it was trained on",
    "new_runs": "new recordings",
}
_WARNINGS = {
    "known_runs_only": "Do not rely on this for new recordings: the model is approved only for "
    "recordings that it was trained on.",
    "new_runs": "",
}


def spaced(word: str) -> str:
    """Return a fixed word with its underscores as spaces."""
    return word.replace("_", " ")


def decision(word: str) -> str:
    """Return a decision of the gate in words, such as "Accepted (first model)"."""
    return _DECISIONS.get(word, spaced(word).capitalize())


def outcome(word: str) -> str:
    """Return what was done about the challenger, to follow "version 3"."""
    if word in _DECISIONS:  # it was declined, for the reason that the decision gives
        return "was not promoted"
    return _OUTCOMES.get(word, spaced(word))


def cause(text: str) -> str:
    """Return why a run was started: the kind in words, then its detail as it was given."""
    kind, colon, detail = text.partition(": ")
    return _CAUSES.get(kind, kind) + colon + detail


def use(word: str) -> str:
    """Return what a model is approved for."""
    return _USES.get(word, spaced(word))


def warning(use: str) -> str:
    """Return what a model of this use must not be relied on for; empty if nothing is excluded."""
    return _WARNINGS.get(use, f"The model is approved for {spaced(use)} only.")
