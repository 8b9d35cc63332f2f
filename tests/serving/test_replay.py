"""Recorded runs as traffic, and what is made to go wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.cnc_mill import names as mill
from serving.common.rows import RawRows, parse_instances
from tests.mill import RAW
from tools.replay.recordings import Recording, read
from tools.replay.scenarios import BUS_COLUMNS, DEAD_SENSOR, HEALTHY, SCENARIOS
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.dataset.contract import default
from toolwear.features.compute import is_cutting
from toolwear.features.dataset import TRAINING_SET

CUTTING = default().rows.cutting
RUNS = ("02", "12", "18")


@pytest.fixture(scope="module")
def recordings(real_data: Path) -> list[Recording]:
    return read(real_data, RUNS)


def test_runs_come_in_the_order_in_which_training_put_them(
    recordings: list[Recording], features: Path
) -> None:
    table = pd.concat(
        pd.read_parquet(path) for path in sorted((features / TRAINING_SET).glob("*.parquet"))
    )
    assert [(item.run_id, item.worn, item.feedrate) for item in recordings] == [
        ("02", False, 20.0),
        ("12", False, 3.0),
        ("18", True, 3.0),
    ]
    for item in recordings:
        wanted = table[table[schema.RUN_ID] == item.run_id].sort_values(schema.TIME_INDEX)
        for column in ("S1_ActualPosition", DEAD_SENSOR, "Z1_ActualPosition"):
            assert np.array_equal(item.rows[column], wanted[column])


def test_every_row_is_sent_once_and_is_what_the_service_takes(recordings: list[Recording]) -> None:
    item = recordings[1]
    parsed = [parse_instances({"instances": instances}, RAW) for instances in item.requests(1000)]
    assert all(isinstance(rows, RawRows) for rows in parsed)
    sent = pd.concat([rows.frame for rows in parsed if isinstance(rows, RawRows)])
    assert len(parsed) == 3
    assert np.array_equal(
        sent[DEAD_SENSOR].to_numpy(), item.rows[DEAD_SENSOR].to_numpy(dtype=np.float64)
    )


def test_a_folder_without_recordings_is_told(tmp_path: Path) -> None:
    with pytest.raises(ToolwearError, match=r"lacks train\.csv"):
        read(tmp_path)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_scenario_changes_what_it_says_and_nothing_else(
    recordings: list[Recording], name: str
) -> None:
    scenario = SCENARIOS[name]
    expected = {
        "mains_down": set(BUS_COLUMNS),
        "dead_sensor": {DEAD_SENSOR},
        "other_feed": {
            mill.FEEDRATE,
            mill.CURRENT_FEEDRATE,
            *(f"{a}_{w}Velocity" for a in ("X1", "Y1") for w in ("Actual", "Command")),
        },
    }.get(name, set())
    for item in recordings:
        before = item.rows.copy()
        after = scenario.change(item).rows
        pd.testing.assert_frame_equal(item.rows, before)
        changed = {column for column in before if not after[column].equals(before[column])}
        lowered = {"Z1_ActualPosition", "Z1_CommandPosition"}
        assert changed == (lowered if name == "tool_lower" and item.worn else expected)
        assert scenario.label(item) == (item.worn != (name == "flipped_labels"))
        if name == "other_feed":
            assert set(after[mill.FEEDRATE]) == {item.feedrate * 1.5}
        # All of it still cuts: a scenario that empties the windows would prove nothing.
        assert is_cutting(after, CUTTING).sum() == pytest.approx(
            is_cutting(before, CUTTING).sum(), rel=0.02
        )


def test_a_worn_tool_set_lower_stands_where_unworn_ones_do(recordings: list[Recording]) -> None:
    lowered = SCENARIOS["tool_lower"].change(recordings[2]).rows
    unworn = recordings[1].rows

    def depths(rows: pd.DataFrame) -> set[float]:
        return set(
            rows.loc[is_cutting(rows, CUTTING), "Z1_ActualPosition"].value_counts().index[:3]
        )

    assert depths(lowered) == depths(unworn) == {27.5, 28.5, 29.5}
    assert SCENARIOS[HEALTHY].change(recordings[2]) is recordings[2]
