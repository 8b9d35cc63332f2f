"""Keeps an ensemble to what a server's memory holds, counted in nodes of trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolwear.automl.export.classifiers import is_of_trees
from toolwear.automl.export.ensemble import Member

_FEWEST_TREES = 50
# Their trees are drawn alike and vote alike, so that the first of them are a forest, too.
_FORESTS = {"RandomForest", "ExtraTreesClassifier"}


@dataclass(frozen=True)
class Cut:
    """A forest that keeps its first `trees` of `of` trees."""

    weight: float
    classifier: str
    trees: int
    of: int


def shrink(members: Sequence[Member], tree_nodes: int) -> tuple[list[Cut], list[Member]]:
    """Bring members to at most so many nodes of trees together; return what it took.

    The largest forest gives up trees first, down to 50; where that is not enough, the largest
    member goes, but never the last one.

    Args:
        members: of the fitted ensemble; their forests are cut in place.
        tree_nodes: how many nodes the trees of all may have.

    Returns:
        The forests that were cut, and the members that have to go.
    """
    kept = list(members)
    cuts: list[Cut] = []
    gone: list[Member] = []
    for member in sorted(kept, key=_nodes, reverse=True):
        excess = sum(map(_nodes, kept)) - tree_nodes
        if excess > 0 and _is_forest(member):
            cut = _cut(member, _nodes(member) - excess)
            cuts += [cut] if cut.trees < cut.of else []
    for member in sorted(kept, key=_nodes, reverse=True):
        if sum(map(_nodes, kept)) > tree_nodes and len(kept) > 1:
            kept.remove(member)
            gone.append(member)
    return cuts, gone


def _cut(member: Member, nodes: int) -> Cut:
    estimator = _classifier(member).estimator
    of = len(estimator.estimators_)
    fit = int(np.searchsorted(np.cumsum(_sizes(member)), nodes, side="right"))
    trees = min(of, max(fit, _FEWEST_TREES))
    del estimator.estimators_[trees:]
    estimator.n_estimators = trees
    return Cut(member.weight, member.classifier, trees, of)


def _classifier(member: Member) -> Any:
    return member.pipeline.named_steps["classifier"].choice


def _is_forest(member: Member) -> bool:
    return not member.is_dummy and type(_classifier(member)).__name__ in _FORESTS


def _nodes(member: Member) -> int:
    return sum(_sizes(member))


def _sizes(member: Member) -> list[int]:
    """Return the nodes of each of a member's trees."""
    if member.is_dummy or not is_of_trees(_classifier(member)):
        return []
    estimator = _classifier(member).estimator
    if hasattr(estimator, "_predictors"):  # boosting
        return [len(predictor.nodes) for (predictor,) in estimator._predictors]
    return [tree.tree_.node_count for tree in getattr(estimator, "estimators_", [estimator])]
