"""Which of the three questions the recordings can carry.

A question is asked only if each class can be learnt from and judged: it is in both halves of the
published split, in two runs, or in two settings. Otherwise some fold has one class only to learn
from, and its answer is known before it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from toolwear.dataset import schema
from toolwear.evaluation.protocols import GROUPED, Fold, HasFrame, groups

SERVED = schema.PUBLISHED  # the feature set of the model that is served
_WORDS = MappingProxyType({schema.NEW_RUN: "run", schema.NEW_SETTING: "setting"})


def asked_of(verdicts: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Return by protocol the feature set of which its question is asked.

    What else was measured stands beside the answer. Where the audit holds nothing against what the
    served model learns from, all questions are asked of that, so that the figures are of that
    model. Else new runs are asked of windows that tell less of how the machine was set up, which
    says nothing of the served model.

    Args:
        verdicts: of the audit, by protocol and feature set.
    """
    clean = {name: verdicts[name][SERVED]["passed"] for name in GROUPED}
    new = {name: SERVED if passed else schema.RESPONSE for name, passed in clean.items()}
    return {schema.KNOWN_RUNS: SERVED, **new}


def why_left_out(protocol: str, samples: HasFrame, of: Sequence[Fold]) -> str:
    """Return the sentence that says why a question cannot be asked; empty if it can.

    Args:
        protocol: one of `schema.PROTOCOLS`.
        samples: n samples with the key columns.
        of: the protocol's folds over them.
    """
    label = samples.frame[schema.LABEL].to_numpy(dtype=int)
    if protocol == schema.KNOWN_RUNS:
        (fold,) = of
        return _one_class(label[fold.train_index], "training") or _one_class(
            label[fold.test_index], "held-back"
        )
    return too_few_groups(protocol, groups(protocol, samples.frame), label)


def _one_class(label: np.ndarray, half: str) -> str:
    for number, name in enumerate(schema.CLASSES):
        if not (label == number).any():
            return (
                f"None of the {len(label):,} {half} rows of the random split is {name}, so "
                "recall of known runs cannot be measured; record more rows of that class."
            )
    return ""


def too_few_groups(protocol: str, group: np.ndarray, label: np.ndarray) -> str:
    """Return why whole groups cannot be left out one at a time; empty if they can.

    Args:
        protocol: NEW_RUN or NEW_SETTING.
        group: name of the run or setting of each sample, shape (n,).
        label: 0 or 1, shape (n,).
    """
    word = _WORDS[protocol]
    if not group.size:
        return f"No run has a full window of cutting rows, so no {word} can be judged by windows."
    names = np.unique(group)
    if protocol == schema.NEW_SETTING and names.tolist() == [schema.NO_SETTING]:
        return "Nothing is set for these recordings, so no setting can be left out."
    if protocol == schema.NEW_SETTING and names.size == 1:
        return (
            f"All runs have the same setting ({names[0]}), so none can be left out; record runs "
            "at two settings or more."
        )
    for number, name in enumerate(schema.CLASSES):
        held = np.unique(group[label == number])
        if not held.size:
            return f"No run with {name} tools has a row to judge, so no {word} can be left out."
        if held.size == 1:
            return (
                f"Only the {word} {held[0]} has rows with {name} tools; once it is left out, all "
                f"rows to learn from are {schema.CLASSES[1 - number]}. Two {word}s of each class "
                "are needed."
            )
    return ""
