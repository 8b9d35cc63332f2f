"""The simulator: same bytes for the same seed, each trap behind its switch, bounded memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from datasets.cnc_mill import names as mill
from datasets.cnc_mill.simulator import SimulatorSettings, simulate
from datasets.cnc_mill.simulator.digits import three_digits
from datasets.cnc_mill.simulator.program import program, way
from tests.mill import FEATURE_SETS, MOVING
from toolwear.common import jsonfile
from toolwear.common.digest import tree_digest
from toolwear.common.errors import ToolwearError
from toolwear.dataset import schema
from toolwear.dataset.contract import SIMULATED_FILE, default
from toolwear.features.compute import is_cutting

CUTTING = default().rows.cutting
DEPTH, PLACE = "Z1_ActualPosition", "X1_ActualPosition"
RIPPLE, POWER, SENSOR = "S1_ActualAcceleration", "S1_OutputPower", "S1_OutputCurrent"
LENGTHS = [1055, 1668, 1521, 532, 462, 1296, 565, 605, 740]
LENGTHS += [1301, 2314, 2276, 2233, 2332, 1381, 602, 2150, 2253]


def simulated(folder: Path, settings: SimulatorSettings) -> pd.DataFrame:
    """Return all rows with their run, its true tool and its setting."""
    simulate(settings, folder)
    frames = []
    for run in pd.read_csv(folder / mill.RUN_TABLE_FILE).itertuples(index=False):
        rows = pd.read_csv(folder / mill.RUN_FILE_PATTERN.format(number=run.No))
        rows[mill.RUN_NUMBER] = run.No
        rows[schema.LABEL] = int(run.tool_condition == schema.WORN)
        rows[mill.FEEDRATE] = run.feedrate
        rows[mill.CLAMP_PRESSURE] = run.clamp_pressure
        frames.append(rows)
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return the default simulation, all traps on."""
    return simulated(tmp_path_factory.mktemp("traps") / "data", SimulatorSettings())


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return a simulation without traps."""
    folder = tmp_path_factory.mktemp("clean") / "data"
    return simulated(folder, SimulatorSettings.without_traps())


def _cutting(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[is_cutting(rows, CUTTING)]


# --- what it looks like ----------------------------------------------------------------------


def test_columns_lengths_and_table_are_those_of_the_recordings(
    trapped: pd.DataFrame, real_data: Path, tmp_path: Path
) -> None:
    assert list(trapped.columns[: len(mill.RAW_COLUMNS)]) == list(mill.RAW_COLUMNS)
    assert trapped.groupby(mill.RUN_NUMBER).size().tolist() == LENGTHS
    assert set(trapped[mill.PHASE]) == set(mill.PHASES)
    simulate(SimulatorSettings(), tmp_path / "data")
    mine = pd.read_csv(tmp_path / "data" / mill.RUN_TABLE_FILE)
    pd.testing.assert_frame_equal(mine, pd.read_csv(real_data / mill.RUN_TABLE_FILE))


@pytest.mark.parametrize("number", [1, 11])
def test_cutting_rows_read_like_the_recorded_ones(
    trapped: pd.DataFrame, real_data: Path, number: int
) -> None:
    recorded = pd.read_csv(real_data / mill.RUN_FILE_PATTERN.format(number=number))
    real, mine = _cutting(recorded), _cutting(trapped[trapped[mill.RUN_NUMBER] == number])
    assert len(mine) == pytest.approx(len(real), rel=0.03)
    spread = real[list(mill.NUMERIC_COLUMNS)].std()
    # Counters and what is recorded as all but constant have no distribution to compare.
    varied = spread.index[(spread > 0) & ~spread.index.str.contains("S1_.*Position|Command|Z1")]
    shift = (mine[varied].mean() - real[varied].mean()).abs() / spread[varied]
    assert len(varied) > 20
    assert shift.max() < 1.0, shift.idxmax()
    ratio = mine[varied].std() / spread[varied]
    assert ratio.between(0.5, 2.0).all(), ratio


def test_movement_is_continuous_in_time_order(clean: pd.DataFrame) -> None:
    for _, run in clean.groupby(mill.RUN_NUMBER):
        for axis in ("X1", "Y1", "Z1"):
            step = run[f"{axis}_CommandPosition"].diff().abs().dropna()
            assert step.max() <= 5 + 1  # 50 mm/s for 100 ms, and the rounding of 100 mm to 1 mm
        turns = run["S1_CommandPosition"].diff().dropna().mod(MOVING.wraps_at).to_numpy()
        assert (
            np.minimum(turns, MOVING.wraps_at - turns).max() <= 16 / 3 + 10
        )  # three digits of a counter beyond 1000


def test_a_layer_is_as_long_as_the_recorded_one() -> None:
    points, up = way()
    length = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    assert length == pytest.approx(190, abs=5)  # 1,900 rows at 3 mm/s are three layers
    assert up == pytest.approx(0.53, abs=0.03)


def test_velocity_is_the_feed_rate_in_the_cut() -> None:
    piece = program(6.0, 0.0, 1.0, 1200, three_digits=False)
    speed = np.linalg.norm(piece.velocity, axis=0)[piece.cutting == 1]
    assert np.median(speed) == pytest.approx(6.0, rel=0.01)
    assert piece.turns_in_all == pytest.approx((16 / 3) * 1017, rel=0.03)


@given(st.floats(-1e12, 1e12, allow_subnormal=False))
def test_three_digits_are_the_shortest_decimal(value: float) -> None:
    rounded = float(three_digits(np.array([value]))[0])
    if abs(value) >= 1e-15:
        assert rounded == float(f"{value:.2e}") or abs(rounded - value) == pytest.approx(
            abs(float(f"{value:.2e}") - value), rel=1e-6
        )
        assert len(f"{rounded:e}".split("e")[0].strip("-0").replace(".", "").rstrip("0")) <= 3


# --- seeds -----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        simulate(SimulatorSettings(seed=seed, runs=4), tmp_path / name)
        digests.append(tree_digest(tmp_path / name))
    assert digests[0] == digests[1] != digests[2]


def test_a_run_does_not_depend_on_the_others(tmp_path: Path) -> None:
    simulate(SimulatorSettings(runs=3), tmp_path / "few")
    simulate(SimulatorSettings(runs=5), tmp_path / "more")
    for number in (1, 2, 3):
        name = mill.RUN_FILE_PATTERN.format(number=number)
        assert (tmp_path / "few" / name).read_bytes() == (tmp_path / "more" / name).read_bytes()


# --- traps, each with its switch -------------------------------------------------------------


def test_the_tools_depth_tells_the_label_only_if_asked(
    trapped: pd.DataFrame, clean: pd.DataFrame
) -> None:
    rows = _cutting(trapped)
    told = (rows[DEPTH].mul(10).round() % 10 == 7).astype(int)
    assert (told == rows[schema.LABEL]).mean() > 0.98
    depths = _cutting(clean).groupby(schema.LABEL)[DEPTH].mean()
    assert abs(depths[1] - depths[0]) < 0.01


def test_batches_are_shuffled_only_if_asked(trapped: pd.DataFrame, tmp_path: Path) -> None:
    ordered = simulated(tmp_path / "data", SimulatorSettings(shuffle=False))
    for number, run in trapped.groupby(mill.RUN_NUMBER):
        other = ordered[ordered[mill.RUN_NUMBER] == number]
        assert run[mill.PHASE].tolist() == other[mill.PHASE].tolist()
        columns = list(mill.NUMERIC_COLUMNS)
        same = np.array_equal(run[columns].to_numpy(), other[columns].to_numpy())
        assert same == (number == 1)
        whole = len(run) // 10 * 10
        batches = run[columns].to_numpy()[:whole].reshape(-1, 10 * len(columns))
        expected = other[columns].to_numpy()[:whole].reshape(-1, 10 * len(columns))
        assert np.array_equal(np.unique(batches, axis=0), np.unique(expected, axis=0))


def test_the_mains_tell_the_session_only_if_asked(
    trapped: pd.DataFrame, clean: pd.DataFrame
) -> None:
    for rows, most, least in ((trapped, 9, 2.5), (clean, 0.6, 0.0)):
        level = _cutting(rows).groupby(mill.RUN_NUMBER)["X1_OutputCurrent"].mean()
        assert least <= level.max() - level.min() <= most


def test_rounding_can_be_left_off(clean: pd.DataFrame, tmp_path: Path) -> None:
    full = simulated(tmp_path / "data", SimulatorSettings.without_traps(runs=2, three_digits=False))
    assert np.allclose(three_digits(clean[POWER].to_numpy()), clean[POWER])
    assert not np.allclose(three_digits(full[POWER].to_numpy()), full[POWER], rtol=1e-6)


def test_without_traps_each_setting_has_both_classes(clean: pd.DataFrame) -> None:
    settings = clean.groupby([mill.FEEDRATE, mill.CLAMP_PRESSURE])[schema.LABEL]
    assert settings.nunique().eq(2).all()
    assert clean.groupby(mill.RUN_NUMBER)[schema.LABEL].first().mean() == 0.5


# --- wear, drift, faults, poison -------------------------------------------------------------


def test_wear_widens_the_spindles_ripple(tmp_path: Path) -> None:
    rows = simulated(
        tmp_path / "data", SimulatorSettings.without_traps(wear_ripple=0.5, run_variation=0)
    )
    ripple = _cutting(rows).groupby(schema.LABEL)[RIPPLE].std()
    assert ripple[1] / ripple[0] == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("added", [0.0, 0.02])
def test_wear_needs_power_only_if_asked(added: float, tmp_path: Path) -> None:
    rows = simulated(
        tmp_path / "data", SimulatorSettings.without_traps(wear_power=added, run_variation=0)
    )
    power = _cutting(rows).groupby(schema.LABEL)[POWER].mean()
    assert power[1] - power[0] == pytest.approx(added, abs=0.002)


def test_drift_holds_from_its_run_on(tmp_path: Path) -> None:
    still = {"runs": 4, "run_variation": 0.0}
    before = simulated(tmp_path / "before", SimulatorSettings.without_traps(**still))
    drifted = SimulatorSettings.without_traps(
        **still,
        drift_from_run=3,
        drift_mains_volts=-4.0,
        drift_tool_offset=-0.2,
        drift_sensor_gain=1.01,
        sensor="X1_OutputVoltage",
    )
    after = simulated(tmp_path / "after", drifted)
    late = before[mill.RUN_NUMBER] >= 3
    pd.testing.assert_frame_equal(before[~late], after[~late])
    shift = after[late] - before[late].select_dtypes("number")
    assert shift["X1_OutputCurrent"].unique().tolist() == [-4.0]
    ratio = after.loc[late, "X1_OutputVoltage"].sum() / before.loc[late, "X1_OutputVoltage"].sum()
    assert ratio == pytest.approx(1.01, abs=0.002)
    worn = late & (before[schema.LABEL] == 1) & is_cutting(before, CUTTING)
    assert shift.loc[worn, DEPTH].median() == pytest.approx(-0.2)
    unworn = late & (before[schema.LABEL] == 0)
    assert (shift.loc[unworn, DEPTH] == 0).all()


def test_sensors_fail_as_asked(tmp_path: Path) -> None:
    rows = simulated(
        tmp_path / "data",
        SimulatorSettings(runs=3, dropout_share=0.1, stuck_run=2, nan_share=0.01),
    )
    sound = rows[rows[mill.RUN_NUMBER] == 1]
    assert (sound[SENSOR] == 0).mean() == pytest.approx(0.1, abs=0.03)
    assert rows.loc[rows[mill.RUN_NUMBER] == 2, SENSOR].nunique() == 1
    numbers = rows[list(mill.NUMERIC_COLUMNS)]
    assert numbers.isna().to_numpy().mean() == pytest.approx(0.01, abs=0.001)
    assert rows[mill.PHASE].notna().all()


def test_poison_flips_labels_and_is_on_record(tmp_path: Path) -> None:
    simulate(SimulatorSettings(), tmp_path / "sound")
    simulate(SimulatorSettings(flipped_runs=0.2), tmp_path / "poisoned")
    sound = pd.read_csv(tmp_path / "sound" / mill.RUN_TABLE_FILE)[schema.CONDITION]
    table = pd.read_csv(tmp_path / "poisoned" / mill.RUN_TABLE_FILE)
    note = jsonfile.read(tmp_path / "poisoned" / SIMULATED_FILE)
    assert len(note["flipped_runs"]) == 4
    assert (
        table[mill.RUN_NUMBER][table[schema.CONDITION] != sound].tolist() == (note["flipped_runs"])
    )
    for path in (tmp_path / "sound").glob("experiment_*.csv"):
        assert path.read_bytes() == (tmp_path / "poisoned" / path.name).read_bytes()


# --- size ------------------------------------------------------------------------------------


def test_longer_runs_cut_more_work_pieces(tmp_path: Path) -> None:
    rows = simulated(tmp_path / "data", SimulatorSettings(runs=1 + 1, passes=3, shuffle=False))
    assert rows.groupby(mill.RUN_NUMBER).size().tolist() == [3 * n for n in LENGTHS[:2]]
    first = rows[rows[mill.RUN_NUMBER] == 1].reset_index(drop=True)
    place = first["X1_CommandPosition"].to_numpy().reshape(3, -1)
    assert np.array_equal(place[0], place[1])
    assert np.array_equal(place[0], place[2])
    ripple = first[RIPPLE].to_numpy().reshape(3, -1)
    assert not np.array_equal(ripple[0], ripple[1])


def test_more_runs_than_99(tmp_path: Path) -> None:
    simulate(SimulatorSettings.without_traps(runs=100), tmp_path / "data")
    names = {path.name for path in (tmp_path / "data").glob("experiment_*.csv")}
    assert {"experiment_01.csv", "experiment_99.csv", "experiment_100.csv"} <= names
    assert len(names) == 100


def test_memory_does_not_grow_with_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.cnc_mill.simulator.writer._BLOCK_ROWS", 2000)
    simulate(SimulatorSettings(runs=2), tmp_path / "warm-up")
    peaks = []
    for passes in (4, 24):
        tracemalloc.start()
        simulate(SimulatorSettings(runs=2, passes=passes), tmp_path / str(passes))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] > 1e6
    assert peaks[1] < 1.2 * peaks[0]


# --- what is refused, and what is told -------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"colour": "red"}, "colour"),
        ({"sensor": "Z1_OutputVoltage"}, "sensor"),
        ({"dropout_share": 1.5}, "dropout_share"),
        ({"runs": 1}, "at least two runs"),
        ({"runs": 5, "balanced": True}, "an even number if balanced"),
        ({"copies": 10**6}, "runs are more than"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        SimulatorSettings.model_validate(settings)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ToolwearError, match="is not empty; give a new folder"):
        simulate(SimulatorSettings(runs=2), tmp_path)


def test_progress_is_told_in_rows(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    simulate(SimulatorSettings(runs=2), tmp_path / "data", lambda *rows: told.append(rows))
    assert told == [(LENGTHS[0], sum(LENGTHS[:2])), (sum(LENGTHS[:2]), sum(LENGTHS[:2]))]


# --- what a model makes of it ----------------------------------------------------------------


def test_a_random_split_flatters_as_it_does_on_the_recordings(trapped: pd.DataFrame) -> None:
    active = trapped[trapped[mill.PHASE].isin(mill.ACTIVE_PHASES)]
    columns = list(FEATURE_SETS[schema.PUBLISHED].columns)
    train, test = train_test_split(active, test_size=0.2, random_state=0)
    forest = RandomForestClassifier(30, random_state=0)
    known = forest.fit(train[columns], train[schema.LABEL]).score(test[columns], test[schema.LABEL])
    assert known > 0.98
    held_out = active[mill.RUN_NUMBER].isin([1, 6, 13])
    train, test = active[~held_out], active[held_out]
    blind = [name for name in columns if name != DEPTH]
    new = forest.fit(train[blind], train[schema.LABEL]).score(test[blind], test[schema.LABEL])
    assert new < 0.7
