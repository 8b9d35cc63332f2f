"""Whether the order of recordings tells worn from unworn: by design, and drawn by lot."""

from __future__ import annotations

import numpy as np
import pandas as pd

from toolwear.common.thresholds import thresholds
from toolwear.dataset import schema
from toolwear.evaluation.audit.design import design, sentence

LIMITS = thresholds().audit


def runs(label: list[int], setting: list[str], ids: list[str] | None = None) -> pd.DataFrame:
    names = ids or [schema.run_id(number) for number in range(1, len(label) + 1)]
    return pd.DataFrame({schema.RUN_ID: names, schema.LABEL: label, schema.SETTING: setting})


def test_worn_after_unworn_in_every_setting_is_confounded() -> None:
    label = [0, 0, 0, 0, 1, 1, 1, 1]
    found = design(runs(label, list("abcdabcd")), LIMITS, seed=0)
    assert (found["settings"], found["apart"], found["later"]) == (4, 4, 1.0)
    assert found["p"] > 0.05, "four pairs may come so by lot: 2 of 16"
    assert not found["confounded"]
    label = [0] * 7 + [1] * 7
    found = design(runs(label, list("abcdefg") * 2), LIMITS, seed=0)
    assert found["confounded"]
    assert found["p"] < 0.05
    assert "In 7 of 7 settings" in sentence(found)
    assert "after all unworn ones" in sentence(found)
    assert "before all unworn ones" in sentence(
        design(runs([1 - one for one in label], list("abcdefg") * 2), LIMITS, seed=0)
    )


def test_an_order_that_was_drawn_by_lot_is_seldom_called_confounded() -> None:
    generator = np.random.default_rng(0)
    called = 0
    for _ in range(100):
        order = generator.permutation(16)
        label, setting = np.repeat([0, 1], 8)[order], np.tile(list("abcd"), 4)[order]
        called += design(runs(label.tolist(), setting.tolist()), LIMITS, 0)["confounded"]
    assert called <= 5


def test_where_nothing_is_matched_or_wear_is_within_recordings_nothing_is_said() -> None:
    found = design(runs([0, 0, 1, 1], list("aabb")), LIMITS, seed=0)
    assert (found["settings"], found["later"], found["confounded"]) == (0, None, False)
    stretches = [f"{number:02}-{part}" for number in range(1, 9) for part in (1, 2)]
    found = design(runs([0, 1] * 8, ["none"] * 16, stretches), LIMITS, seed=0)
    assert found["later"] is None
    assert sentence(found) == ""
