"""Exports what agrees with auto-sklearn on every row, and says what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolwear.automl.export.common import UnsupportedError
from toolwear.automl.export.ensemble import Member, ensemble_model, weighted_mean
from toolwear.automl.export.size import Cut, shrink
from toolwear.common.steps import report
from toolwear.model.onnx_graph import to_bytes
from toolwear.model.onnx_model import OnnxModel


@dataclass(frozen=True)
class Agreement:
    """How well a graph and the model that it was made from agree on the same rows."""

    label_agreement: float  # share of rows
    max_abs_diff: float  # of the probabilities

    def within(self, limit: Agreement) -> bool:
        """Whether this is at least as good as `limit`."""
        return (
            self.label_agreement >= limit.label_agreement
            and self.max_abs_diff <= limit.max_abs_diff
        )


@dataclass(frozen=True)
class Limit(Agreement):
    """What an export has to keep: the agreement, and how many nodes its trees may have."""

    tree_nodes: int


@dataclass(frozen=True)
class Dropped:
    """A member that is not in the graph, its weight in the ensemble and why."""

    weight: float
    classifier: str
    reason: str


@dataclass(frozen=True)
class Export:
    """A graph that has passed the gate.

    Attributes:
        model: bytes of the ONNX file.
        kept: members in the graph.
        dropped: members that are not.
        cut: forests that gave up trees.
        native: auto-sklearn's own probabilities of the kept members, (rows, 2).
        agreement: of the graph with the kept members.
        full_agreement: of the graph with all members, whole.
    """

    model: bytes
    kept: list[Member]
    dropped: list[Dropped]
    cut: list[Cut]
    native: np.ndarray
    agreement: Agreement
    full_agreement: Agreement


@dataclass(frozen=True)
class _Candidate:
    member: Member
    native: np.ndarray
    difference: float  # of its own graph


def export_ensemble(members: Sequence[Member], rows: np.ndarray, limit: Limit) -> Export:
    """Return the graph of the members that convert within `limit` on every row.

    What is too large for a server is cut first. A member that has no conversion or whose
    probabilities differ is left out. If the mean of the others still differs, the one that
    differs most is left out until it does not.

    Args:
        members: of the fitted ensemble; forests that are too large lose trees in place.
        rows: every row that there is, float64 (rows, features): on these graph and members are
            compared, and thresholds of trees lie between their values.
        limit: least label agreement, largest difference and most nodes of trees that pass.

    Raises:
        RuntimeError: no member passes.
    """
    natives = [member.probabilities(rows) for member in members]
    whole = _mean(members, natives)
    candidates: list[_Candidate] = []
    dropped: list[Dropped] = []
    cut, too_large = shrink(members, limit.tree_nodes)
    for forest in cut:
        report(f"export: {forest.classifier} keeps {forest.trees} of {forest.of} trees")
    if cut:
        natives = [member.probabilities(rows) for member in members]
    for member, native in zip(members, natives):
        if member in too_large:
            _drop(dropped, member, f"with it, trees have more than {limit.tree_nodes:,} nodes")
            continue
        try:
            difference = _own_difference(member, native, rows)
        except UnsupportedError as reason:
            _drop(dropped, member, str(reason))
            continue
        if difference > limit.max_abs_diff:
            _drop(dropped, member, f"probabilities differ by up to {difference:.3g}")
        else:
            candidates.append(_Candidate(member, native, difference))
    while candidates:
        kept = [candidate.member for candidate in candidates]
        model = to_bytes(ensemble_model(kept, rows))
        graph = OnnxModel(model)
        mean = _mean(kept, [candidate.native for candidate in candidates])
        agreement = compare(graph, mean, rows)
        if agreement.within(limit):
            full = compare(graph, whole, rows)
            return Export(model, kept, dropped, cut, mean, agreement, full)
        worst = max(candidates, key=lambda candidate: candidate.difference)
        candidates.remove(worst)
        _drop(dropped, worst.member, f"differs most while the mean does not agree: {agreement}")
    raise RuntimeError(f"No member of the ensemble can be exported: {dropped}")


def compare(graph: OnnxModel, native: np.ndarray, rows: np.ndarray) -> Agreement:
    """Return how well a graph agrees with native probabilities (rows, 2) on the same rows."""
    return Agreement(
        label_agreement=float(np.mean(graph.labels(rows) == native.argmax(axis=1))),
        max_abs_diff=float(np.max(np.abs(graph.predict_proba(rows) - native))),
    )


def _own_difference(member: Member, native: np.ndarray, rows: np.ndarray) -> float:
    graph = OnnxModel(to_bytes(ensemble_model([member], rows)))
    return compare(graph, native, rows).max_abs_diff


def _mean(members: Sequence[Member], natives: Sequence[np.ndarray]) -> np.ndarray:
    return weighted_mean([member.weight for member in members], natives)


def _drop(dropped: list[Dropped], member: Member, reason: str) -> None:
    report(f"export: a member ({member.classifier}) is left out: {reason}")
    dropped.append(Dropped(member.weight, member.classifier, reason))
