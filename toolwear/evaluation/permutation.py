"""Is the best of all that was tried better than chance?

Labels are permuted over whole runs, every candidate is fitted again under every protocol, and the
best of them all is compared with the best on the true labels, so that having chosen among many
is paid for (Westfall & Young 1993, max-statistic; p with the observed labeling counted among the
permutations, Phipson & Smyth 2010). Twice: over all runs, and only among runs of the same
setting, where feed rate and clamp pressure cannot tell anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from toolwear.evaluation.held_out import Candidate, out_of_fold
from toolwear.evaluation.metrics import LEVEL
from toolwear.evaluation.protocols import Fold

FREE, WITHIN = "free", "within_setting"
ALL = "all"  # protocols
STATISTICS = ("runs_correct", "run_auc")
ONE_CLASS_EACH = (
    "No setting has runs of both classes, so labels cannot be permuted among runs of one setting, "
    "and what tells the classes may be the setting."
)


def run_scores(run_index: np.ndarray, label: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """Return the runs judged right and the area under the ROC curve over runs.

    Args:
        run_index: run number of each row, 0 to runs - 1, shape (n,).
        label: label of each run, shape (runs,).
        p: probability of each row, shape (n,).
    """
    mean = (np.bincount(run_index, weights=p) / np.bincount(run_index)).round(9)
    correct = float((np.where(label == 1, mean, 1 - mean) > 0.5).sum())
    worn, unworn = mean[label == 1], mean[label == 0]
    above = (worn[:, None] > unworn).sum() + (worn[:, None] == unworn).sum() / 2
    area = above / (worn.size * unworn.size) if worn.size and unworn.size else 0.5
    return correct, float(area)


def maxima(
    candidates: Sequence[Candidate],
    label: np.ndarray,
    run_index: np.ndarray,
    folds: Mapping[str, Sequence[Fold]],
    seed: int,
) -> dict[str, np.ndarray]:
    """Return the statistics of every candidate, shape (candidates, 2), by protocol."""
    y = label[run_index]
    return {
        protocol: np.array(
            [
                run_scores(
                    run_index,
                    label,
                    out_of_fold(item.learner, item.rows, y, run_index, of, seed),
                )
                for item in candidates
            ]
        )
        for protocol, of in folds.items()
    }


def permute(label: np.ndarray, group: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the labels permuted within each group of runs."""
    permuted = label.copy()
    for name in np.unique(group):
        member = np.flatnonzero(group == name)
        permuted[member] = generator.permutation(label[member])
    return permuted


def against_chance(
    candidates: Sequence[Candidate],
    label: np.ndarray,
    setting: np.ndarray,
    run_index: np.ndarray,
    folds: Mapping[str, Sequence[Fold]],
    permutations: int,
    seed: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Return p-values of the best of all candidates, and the null distributions.

    Args:
        candidates: all that was tried, on the same n samples.
        label: label of each run, shape (runs,).
        setting: machine setting of each run, shape (runs,).
        run_index: run number of each sample, shape (n,).
        folds: by protocol.
        permutations: relabelings over all runs; half as many within settings.
        seed: of the permutations and of every fit.
        progress: is told how far it is.

    Returns:
        `p`: the largest of the p-values over all protocols, the one to hold against a threshold,
        None without permutations; `asked`: whether this is a question here; `observed`: statistics
        of each candidate; by kind of permutation, protocol and statistic `observed` (the best),
        `by`, `null_95`, `p`, `null`; `left_out`: by kind, why it was not tested.
    """
    found = maxima(candidates, label, run_index, folds, seed)
    names = [candidate.name for candidate in candidates]
    result: dict[str, Any] = {
        "p": None,
        "asked": True,
        "left_out": {},
        "seed": seed,
        "observed": {
            protocol: {
                name: dict(zip(STATISTICS, row, strict=True))
                for name, row in zip(names, values.tolist(), strict=True)
            }
            for protocol, values in found.items()
        },
    }
    generator = np.random.default_rng(seed)
    kinds = {FREE: (permutations, np.zeros(len(label))), WITHIN: (permutations // 2, setting)}
    if not _both_classes_somewhere(label, setting):
        result["left_out"][WITHIN] = ONE_CLASS_EACH
        kinds[WITHIN] = (0, setting)
    for kind, (count, group) in kinds.items():
        drawn: list[dict[str, np.ndarray]] = []
        for number in range(count):
            if number % 10 == 0:
                progress(f"labels permuted over runs ({kind.replace('_', ' ')}): {number}/{count}")
            shuffled = permute(label, group, generator)
            drawn.append(
                {
                    protocol: values.max(axis=0)
                    for protocol, values in maxima(
                        candidates, shuffled, run_index, folds, seed
                    ).items()
                }
            )
        result[kind] = _compared(found, drawn, names)
    values = [
        result[kind][ALL][statistic]["p"]
        for kind in kinds
        for statistic in STATISTICS
        if result[kind]["permutations"]
    ]
    result["p"] = max(values) if values else None
    return result


def not_tested(reason: str, seed: int, asked: bool = True) -> dict[str, Any]:
    """Return the result where no question about whole runs can be asked, or none is."""
    kinds = (FREE, WITHIN)
    return {
        "p": None,
        "asked": asked,
        "left_out": dict.fromkeys(kinds, reason),
        "seed": seed,
        "observed": {},
        **{kind: {"permutations": 0} for kind in kinds},
    }


def _both_classes_somewhere(label: np.ndarray, setting: np.ndarray) -> bool:
    return any(np.unique(label[setting == name]).size > 1 for name in np.unique(setting))


def _compared(
    found: Mapping[str, np.ndarray], drawn: Sequence[Mapping[str, np.ndarray]], names: Sequence[str]
) -> dict[str, Any]:
    result: dict[str, Any] = {"permutations": len(drawn)}
    if not drawn:
        return result
    labels = [f"{name}, {protocol}" for protocol in found for name in names]
    best = {ALL: (np.concatenate(list(found.values())), labels)}
    best |= {protocol: (values, list(names)) for protocol, values in found.items()}
    for where, (values, by) in best.items():
        null = np.array(
            [np.max(list(draw.values()), axis=0) if where == ALL else draw[where] for draw in drawn]
        )
        result[where] = {
            statistic: _one(values[:, place], null[:, place], by)
            for place, statistic in enumerate(STATISTICS)
        }
    return result


def _one(values: np.ndarray, null: np.ndarray, by: Sequence[str]) -> dict[str, Any]:
    observed = float(values.max())
    reached = int(np.count_nonzero(null >= observed - 1e-9))
    return {
        "observed": observed,
        "by": by[int(values.argmax())],
        "null_95": float(np.quantile(null, LEVEL)),
        "p": (1 + reached) / (1 + len(null)),
        "null": null.tolist(),
    }
