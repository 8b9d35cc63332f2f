"""The six methods as the explainer offers them: their sizes, time limits and quality figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from toolwear.explain.methods import anchor_rule, ice_pdp, lime_local, shap_paired, surrogate_tree
from toolwear.explain.methods.ice_pdp import CurveSettings
from toolwear.explain.methods.shap_paired import PairedSettings
from toolwear.explain.methods.subject import Envelope, Subject

SHAP = "shap"
QUICK, SLOW = "quick", "slow"
# The background's curves give ICE its frame only; the explained row's are complete anyway.
_ICE = CurveSettings(rows=50)
MOST_SAMPLES = 1000
DEFAULT_SEED = 0  # of a question that names none


@dataclass(frozen=True, eq=False)
class Task:
    """What to explain.

    Attributes:
        subject: the model with its background.
        background_worn: P(worn) of the background rows.
        row: the prediction to explain, (1, features); None for the model as a whole.
        samples: background rows for SHAP; None for the default.
    """

    subject: Subject
    background_worn: np.ndarray
    row: np.ndarray | None
    samples: int | None = None

    @property
    def point(self) -> np.ndarray:
        """The row; for the model as a whole any, as the methods want one."""
        return self.subject.background[:1] if self.row is None else self.row


@dataclass(frozen=True)
class Method:
    """A method on offer.

    Attributes:
        run: computes it.
        figures: keys of its quality that are measured on /metrics.
        lane: QUICK ones do not wait behind SLOW ones.
        seconds: limit from the request's arrival to the answer.
        whole: explains the model as a whole, not one prediction.
    """

    run: Callable[[Task], Envelope]
    figures: tuple[str, ...]
    lane: str
    seconds: float
    whole: bool = False


def _shap(task: Task) -> Envelope:
    settings = PairedSettings(task.samples) if task.samples else shap_paired.DEFAULT
    return shap_paired.explain(task.subject, task.point, task.background_worn, settings)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        SHAP: Method(_shap, ("relative_standard_error", "base_error"), QUICK, 10),
        "lime": Method(
            lambda task: lime_local.explain(task.subject, task.point),
            ("r2_min", "gap_max", "jaccard_top5_mean", "rank_correlation_mean"),
            QUICK,
            10,
        ),
        "anchor": Method(
            lambda task: anchor_rule.explain(task.subject, task.point),
            ("precision_min", "coverage_median"),
            SLOW,
            60,
        ),
        "ice": Method(
            lambda task: ice_pdp.explain(task.subject, task.point, _ICE)[0],
            ("halves_gap",),
            SLOW,
            30,
        ),
        "pdp": Method(
            lambda task: ice_pdp.explain(task.subject, task.point)[1],
            ("halves_gap",),
            SLOW,
            60,
            whole=True,
        ),
        "surrogate": Method(
            lambda task: surrogate_tree.explain(task.subject),
            ("fidelity",),
            QUICK,
            10,
            whole=True,
        ),
    }
)
