"""One attack at a time: would the poisoned model be promoted, without the guard and with it?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.guard import logic, observe, rows
from components.guard.logic import Finding
from components.guard.rows import RowFacts
from components.guard.runs import RunFacts
from tools.bench_poison.attacks import BY_RUN, NEW_RUNS, flipped
from toolwear.common.thresholds import thresholds
from toolwear.dataset import contract, schema
from toolwear.evaluation.metrics import binary_metrics
from toolwear.evaluation.protocols import assign, folds
from toolwear.features import dataset
from toolwear.features.dataset import Samples
from toolwear.model.learners import published_forest
from toolwear.model.onnx_graph import to_bytes
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.onnx_trees import forest_model
from toolwear.release import gate as judgement
from toolwear.release.comparison import compare
from toolwear.release.decisions import Outcome

_OTHER_SEED = 1000  # the challenger's forest is never the champion's by its seed


@dataclass(frozen=True, eq=False)
class Mill:
    """Clean data and how it is split.

    Attributes:
        samples: of the published features.
        runs: as the guard sees them.
        disagreement: share of its labels that the guard's forest contradicts.
        train: positions that models learn from.
        test: positions that they are judged on.
        champion: trained on the clean labels of all runs.
    """

    samples: Samples
    runs: Sequence[RunFacts]
    disagreement: float
    train: np.ndarray
    test: np.ndarray
    champion: OnnxModel


@dataclass(frozen=True)
class Attempt:
    """What came of one attack.

    Attributes:
        attack: its name.
        share: of labels that were asked to be flipped.
        flipped: share of all labels that were.
        seed: of the draw and of the models.
        outcome: the decision without the guard.
        with_guard: the decision with it.
        found: checks of the guard that refuse the data.
        without_vouching: the decision with the guard if nobody has to vouch for new runs.
        disagreement: share of labels that the guard's forest contradicts.
        clean_accuracy: of the challenger by the clean labels of the judged rows.
        clean_difference: challenger minus champion by clean labels.
        interval: of that difference, 95 %, over runs.
        worse: whether the challenger is worse by more than the margin of a tie.
    """

    attack: str
    share: float
    flipped: float
    seed: int
    outcome: str
    with_guard: str
    found: tuple[str, ...]
    without_vouching: str
    disagreement: float
    clean_accuracy: float
    clean_difference: float
    interval: tuple[float, float]
    worse: bool

    @property
    def promoted(self) -> bool:
        """Whether it is promoted without the guard."""
        return Outcome(self.outcome).promotes

    @property
    def promoted_with_guard(self) -> bool:
        """Whether it is promoted with the guard."""
        return Outcome(self.with_guard).promotes

    @property
    def promoted_without_vouching(self) -> bool:
        """Whether it is promoted with the guard if nobody has to vouch for new runs."""
        return Outcome(self.without_vouching).promotes


def mill(telemetry: Path, features: Path) -> Mill:
    """Return the data of two earlier steps' folders."""
    samples = dataset.load(features, schema.PUBLISHED)
    fold = folds(schema.KNOWN_RUNS, samples, assign(samples.frame))[0]
    runs = observe.read(telemetry)
    facts = rows.inspect(samples, {run.run_id: run.label for run in runs}, 0)
    champion = learn(samples, fold.train_index, samples.y, 0)
    return Mill(samples, runs, facts.disagreement, fold.train_index, fold.test_index, champion)


def learn(samples: Samples, train: np.ndarray, y: np.ndarray, seed: int) -> OnnxModel:
    """Return the exported forest that stands in for the search."""
    forest = published_forest(seed).fit(samples.X[train], y[train])
    return OnnxModel(to_bytes(forest_model(forest.estimators_, samples.X)))


def attempt(on: Mill, attack: str, share: float, seed: int) -> Attempt:
    """Poison, train, judge and guard.

    Args:
        on: the clean data.
        attack: one of `attacks.ATTACKS`, or NONE.
        share: of labels to flip.
        seed: of the draw, the models and the guard's forest.
    """
    poisoned = flipped(on.samples, attack, share, seed)
    y = np.where(poisoned, 1 - on.samples.y, on.samples.y)
    champion, unknown = on.champion, np.zeros_like(poisoned)
    if attack == NEW_RUNS:
        unknown = poisoned
        champion = learn(on.samples, on.train[~unknown[on.train]], on.samples.y, seed)
    challenger = learn(on.samples, on.train, y, seed + _OTHER_SEED)
    outcome = judged(on, champion, challenger, y, seed)
    known = [run for run in on.runs if run.run_id not in set(on.samples.run[unknown].tolist())]
    runs, facts = seen(on, known, y, attack, seed)
    limits = thresholds().guard
    trusting = limits.model_copy(update={"vouch_for_new_runs": False})
    asked = contract.default().admission
    found = refusing(logic.judge(runs, facts, known, limits, asked))
    without = refusing(logic.judge(runs, facts, known, trusting, asked))
    X, truth, run = on.samples.X[on.test], on.samples.y[on.test], on.samples.run[on.test]
    clean = compare(challenger.labels(X) == truth, champion.labels(X) == truth, run, seed)
    return Attempt(
        attack=attack,
        share=share,
        flipped=float(poisoned.mean()),
        seed=seed,
        outcome=outcome,
        with_guard=Outcome.REFUSE_POISONED if found else outcome,
        found=found,
        without_vouching=Outcome.REFUSE_POISONED if without else outcome,
        disagreement=facts.disagreement,
        clean_accuracy=clean.challenger,
        clean_difference=clean.difference,
        interval=clean.interval,
        worse=clean.difference < -thresholds().decision.non_inferiority_margin,
    )


def judged(
    on: Mill, champion: OnnxModel, challenger: OnnxModel, y: np.ndarray, seed: int
) -> Outcome:
    """Return the decision as the decide step makes it: it knows the poisoned labels only."""
    limits = thresholds().decision
    X, labels, run = on.samples.X[on.test], y[on.test], on.samples.run[on.test]
    worn = challenger.worn(X)
    figures: dict[str, Any] = binary_metrics(labels, worn)
    checks = [
        judgement.all_finite({}, worn),
        *judgement.recall(figures, contract.default().gate),
    ]
    paired = compare(challenger.labels(X) == labels, champion.labels(X) == labels, run, seed)
    return judgement.choose(checks, paired, limits, same_model=False, new_data=True)[0]


def seen(
    on: Mill, known: Sequence[RunFacts], y: np.ndarray, attack: str, seed: int
) -> tuple[list[RunFacts], RowFacts]:
    """Return what the guard sees of the poisoned data.

    Whoever flips whole runs changes the table of runs; whoever flips rows cannot.
    """
    runs = list(on.runs)
    if attack in BY_RUN:
        label_of = dict(zip(on.samples.run.tolist(), y.tolist(), strict=True))
        runs = [dataclasses.replace(run, label=label_of[run.run_id]) for run in runs]
    samples = dataclasses.replace(on.samples, y=y)
    labels = {run.run_id: run.label for run in runs}
    recognised = logic.recognise(runs, known, thresholds().guard)
    return runs, rows.inspect(samples, labels, seed, recognised, on.disagreement)


def refusing(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the names of the checks that refuse the data."""
    return tuple(sorted({finding.check for finding in findings if finding.refuses}))
