"""The champions that there have been, and the best of them beside a challenger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.decide.scoring import Champion, score
from toolwear.common.errors import ToolwearError
from toolwear.features.dataset import Samples
from toolwear.model.onnx_model import OnnxModel
from toolwear.release import audit_log
from toolwear.release.comparison import Comparison
from toolwear.release.registry import Registry


def earlier_champions(
    registry: Registry, champion: Champion, columns: tuple[str, ...]
) -> tuple[list[Champion], list[str]]:
    """Return the champions before this one that can still be asked, and what is said of others.

    Those that were rolled back are not worth going back to, and do not count.

    Args:
        registry: the model, with its audit log.
        champion: the present one.
        columns: features that they must have in common with the challenger.
    """
    made = audit_log.champions(audit_log.moves_of(audit_log.entries(registry.home), registry.name))
    found: dict[str, Champion] = {}
    missing = []
    for number in dict.fromkeys(entry["to"] for entry in made if entry["to"] is not None):
        try:
            version = registry.version(number)
            package = registry.package(version)
        except ToolwearError as error:
            missing.append(f"Version {number} was not compared: {error}")
            continue
        if package.features == columns and package.digest != champion.package.digest:
            found[package.digest] = Champion(number, package, OnnxModel(package.model))
    return list(found.values()), missing


def best_of(
    challenger: OnnxModel,
    earlier: Sequence[Champion],
    samples: Samples,
    test: np.ndarray,
    seed: int,
) -> tuple[Champion, Comparison] | None:
    """Return the earlier champion that does best beside the challenger, and the comparison.

    One that was trained on all rows that are held back today cannot be compared.

    Args:
        challenger: was trained on none of the test rows.
        earlier: champions that there have been, of the same features.
        samples: of the feature set that all take.
        test: positions of the held-back rows in `samples`.
        seed: of the intervals.
    """
    scored = [(one, score(challenger, one, samples, test, seed)) for one in earlier]
    fair = [(one, found) for one, found in scored if found.fair]
    return min(fair, key=lambda pair: pair[1].difference, default=None)
