"""Global surrogate: one small tree that imitates the model, and how well it does.

Method: Craven & Shavlik 1996; see https://christophm.github.io/interpretable-ml-book/global.html.
The tree is fitted to the model's P(worn), not to the labels, and judged on rows it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolwear.explain.methods.subject import (
    Envelope,
    Subject,
    by_name,
    envelope,
    is_worn,
    wilson,
)


@dataclass(frozen=True)
class TreeSettings:
    """Bounds that keep the tree readable on one page."""

    max_depth: int = 6
    max_leaves: int = 16
    leaf_share: float = 0.005  # of the fitted rows, at least, in each leaf


DEFAULT = TreeSettings()
_STUMP = TreeSettings(max_depth=1, max_leaves=2)


def explain(
    subject: Subject, held_out: np.ndarray | None = None, settings: TreeSettings = DEFAULT
) -> Envelope:
    """Return the envelope; data.nodes lists the tree, node 0 is its root, children -1 at a leaf.

    `fidelity` is the share of held-out rows on which tree and model give the same label, with its
    95 % Wilson interval over rows; `r2` compares probabilities; `one_rule` is what a single split
    of the most telling column reaches, `one_column` a tree that sees one column only, `one_label`
    the better constant label; `fidelity_by_feature` is that of trees that see one feature only.

    Args:
        subject: its background is what the tree is fitted on.
        held_out: rows (n, features) to judge it on; by default half of the background.
        settings: size of the tree.
    """
    from sklearn.metrics import r2_score
    from sklearn.tree import export_text

    fit_rows, check_rows = subject.fit_and_check_rows(held_out)
    fit_target, check_target = subject.predict(fit_rows), subject.predict(check_rows)
    labels = is_worn(check_target)

    def agreement(columns: list[int], size: TreeSettings = settings) -> tuple[Any, np.ndarray, int]:
        tree = _tree(size, len(fit_rows), subject.seed).fit(fit_rows[:, columns], fit_target)
        imitated = tree.predict(check_rows[:, columns])
        return tree, imitated, int((is_worn(imitated) == labels).sum())

    tree, imitated, hits = agreement(list(range(len(subject.names))))
    alone = np.array([agreement([column])[2] for column in range(len(subject.names))])
    stump, _, stump_hits = agreement(list(range(len(subject.names))), _STUMP)
    n = len(check_rows)
    data = {
        "nodes": _nodes(tree, subject.names),
        "text": export_text(tree, feature_names=list(subject.names), decimals=3),
        "importances": by_name(subject.names, tree.feature_importances_),
        "fidelity_by_feature": by_name(subject.names, alone / n),
        "one_rule": {key: _nodes(stump, subject.names)[0][key] for key in ("feature", "threshold")},
    }
    worn = float(labels.mean())
    quality = {
        "fidelity": hits / n,
        "interval": wilson(hits, n),
        # R2 compares with the mean; a constant model has nothing to compare.
        "r2": float(r2_score(check_target, imitated)) if np.ptp(check_target) else None,
        "one_rule": stump_hits / n,
        "one_column": float(alone.max()) / n,
        "one_label": max(worn, 1 - worn),
        "rows": n,
        "fitted_rows": len(fit_rows),
        "depth": int(tree.get_depth()),
        "leaves": int(tree.get_n_leaves()),
    }
    return envelope(subject, "surrogate", "scikit-learn", settings, data, quality)


def _tree(settings: TreeSettings, rows: int, seed: int) -> Any:
    from sklearn.tree import DecisionTreeRegressor

    return DecisionTreeRegressor(
        max_depth=settings.max_depth,
        max_leaf_nodes=settings.max_leaves,
        min_samples_leaf=max(1, round(settings.leaf_share * rows)),
        random_state=seed,
    )


def _nodes(fitted: Any, names: tuple[str, ...]) -> list[dict[str, Any]]:
    tree = fitted.tree_
    return [
        {
            "feature": names[tree.feature[i]] if tree.children_left[i] >= 0 else None,
            "threshold": float(tree.threshold[i]) if tree.children_left[i] >= 0 else None,
            "left": int(tree.children_left[i]),  # feature <= threshold
            "right": int(tree.children_right[i]),
            "worn": float(tree.value[i].ravel()[0]),
            "rows": int(tree.n_node_samples[i]),
        }
        for i in range(tree.node_count)
    ]
