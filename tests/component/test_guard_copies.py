"""Scaled, shifted, rounded, cut and thinned copies of the real recordings are found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.guard import logic, observe, shapes
from components.guard.copies import scaled_copies
from components.guard.rows import RowFacts
from components.guard.runs import SHAPE_KEYS, RunFacts, shared, sketch
from components.ingest.step import ingest
from datasets.cnc_mill import names as mill
from datasets.cnc_mill.simulator import SimulatorSettings, simulate
from tests.mill import MILL
from toolwear.common.thresholds import thresholds
from toolwear.dataset import schema

LIMITS = thresholds().guard
FITTING = RowFacts(rows=100, before=0.0, disagreement=0.0, per_run={}, other_label={})
KINDS = ("turns", "scores")
Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


@pytest.fixture(scope="module")
def runs(telemetry: Path) -> list[RunFacts]:
    return observe.read(telemetry)


@pytest.fixture(scope="module")
def recorded(telemetry: Path) -> pd.DataFrame:
    return pd.concat(pd.read_parquet(part) for part in sorted(telemetry.glob("part-*.parquet")))


def rounded(values: np.ndarray, digits: int) -> np.ndarray:
    size = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(values), 1e-20))) - (digits - 1))
    result: np.ndarray = np.rint(values / size) * size
    return result


def scaled(digits: int, noise: float = 0.0) -> Change:
    """Scale each column by 0.2 to 5 or by the negative of it, shift it, add noise, round it."""

    def change(rows: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
        rows = rows.copy()
        for name in mill.NUMERIC_COLUMNS:
            values = rows[name].to_numpy(dtype=float)
            spread = values.std()
            values = values * generator.choice([-1, 1]) * generator.uniform(0.2, 5)
            values += spread * generator.normal(0, 3) + generator.normal(
                0, noise * values.std(), len(values)
            )
            rows[name] = rounded(values, digits)
        return rows

    return change


def thinned(keep: Callable[[int, np.random.Generator], np.ndarray], digits: int = 4) -> Change:
    """Keep the rows at these places, in this order, and scale them."""
    return lambda rows, generator: scaled(digits)(rows.iloc[keep(len(rows), generator)], generator)


# How many of the 18 recordings, changed so, are found to be copies; the table of docs/poison.md.
ATTACKS: dict[str, tuple[Change, int]] = {
    "scaled, 4 digits": (scaled(4), 18),
    "scaled, 3 digits": (scaled(3), 18),
    "scaled, 2 digits": (scaled(2), 13),
    "noise of 1 %": (scaled(4, 0.01), 18),
    "noise of 3 %": (scaled(4, 0.03), 17),
    "noise of 10 %": (scaled(4, 0.1), 10),
    "middle fifth": (thinned(lambda n, _: np.arange(2 * n // 5, 3 * n // 5)), 17),
    "80 % of the rows": (thinned(lambda n, g: np.flatnonzero(g.random(n) < 0.8)), 18),
    "half of the rows": (thinned(lambda n, g: np.flatnonzero(g.random(n) < 0.5)), 17),
    "every second row": (thinned(lambda n, _: np.arange(0, n, 2)), 18),
    "first seven rows cut": (thinned(lambda n, _: np.arange(7, n)), 18),
    "second half": (thinned(lambda n, _: np.arange(n // 2, n)), 18),
    "rows in reverse": (thinned(lambda n, _: np.arange(n)[::-1]), 18),
    "rows shuffled": (thinned(lambda n, g: g.permutation(n)), 18),
}


def facts(rows: pd.DataFrame, of: RunFacts, run_id: str) -> RunFacts:
    """Return what the guard sees of changed rows under a new number and the other label."""
    values = rows[list(MILL.admission.shapes)].to_numpy(dtype=np.float64)
    return dataclasses.replace(
        of,
        run_id=run_id,
        label=1 - of.label,
        sketch=sketch(observe.row_keys(rows[list(MILL.numbers)])),
        turns=sketch(shapes.turns(values), SHAPE_KEYS),
        scores=sketch(shapes.scores(values), SHAPE_KEYS),
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_copies_are_found_whatever_was_done_to_them(
    runs: list[RunFacts], recorded: pd.DataFrame, attack: str
) -> None:
    change, expected = ATTACKS[attack]
    generator = np.random.default_rng(0)
    right = 0
    for run in runs:
        rows = recorded[recorded[schema.RUN_ID] == run.run_id]
        copy = facts(change(rows, generator), run, "99")
        found = scaled_copies([*runs, copy], (), (), LIMITS)
        assert {item.run.run_id for item in found} <= {"99"}
        right += [item.other.run_id for item in found] == [run.run_id]
    assert right >= expected


def largest_shares(runs: list[RunFacts]) -> dict[str, float]:
    return {
        kind: max(
            shared(getattr(one, kind), getattr(other, kind), SHAPE_KEYS)
            for one, other in combinations(runs, 2)
        )
        for kind in KINDS
    }


def test_two_recordings_of_one_program_are_far_below_the_limits(runs: list[RunFacts]) -> None:
    most = largest_shares(runs)
    assert most["turns"] == 0.0
    assert 0.02 < most["scores"] < 0.04
    assert most["scores"] < LIMITS.same_scores / 2


@pytest.mark.parametrize(
    "settings",
    [
        SimulatorSettings(seed=3, copies=2),
        SimulatorSettings.without_traps(seed=2),
        SimulatorSettings(seed=4, three_digits=False),
    ],
)
def test_simulated_runs_are_no_copies_of_each_other(
    settings: SimulatorSettings, tmp_path: Path
) -> None:
    simulate(settings, tmp_path / "data")
    ingest(
        data=str(tmp_path / "data"),
        data_digest="",
        allow_simulator=False,
        output=tmp_path / "telemetry",
    )
    runs = observe.read(tmp_path / "telemetry")
    most = largest_shares(runs)
    assert most["turns"] < LIMITS.same_turns / 2
    assert most["scores"] < LIMITS.same_scores / 2
    assert scaled_copies(runs, (), (), LIMITS) == []


def test_a_scaled_copy_refuses_the_data_until_a_person_lets_it_in(
    runs: list[RunFacts], recorded: pd.DataFrame
) -> None:
    eight = next(run for run in runs if run.run_id == "08")
    rows = recorded[recorded[schema.RUN_ID] == "08"]
    copy = facts(scaled(3)(rows, np.random.default_rng(1)), eight, "19")
    (found,) = logic.judge([*runs, copy], FITTING, None, LIMITS, MILL.admission)
    assert (found.check, found.run, found.refuses) == ("scaled_copy", "19", True)
    assert found.sentence.startswith("Run 19 goes as run 08 does, under another label, as if it")
    (found,) = logic.judge([*runs, copy], FITTING, None, LIMITS, MILL.admission, accepted={"19"})
    assert not found.refuses


def test_a_scaled_copy_that_a_person_has_checked_may_not_teach_another_label(
    runs: list[RunFacts], recorded: pd.DataFrame
) -> None:
    eight = next(run for run in runs if run.run_id == "08")
    rows = recorded[recorded[schema.RUN_ID] == "08"]
    copy = facts(scaled(3)(rows, np.random.default_rng(1)), eight, "19")
    for label, refuses in ((eight.label, False), (copy.label, True)):
        named = dataclasses.replace(copy, label=label)
        (found,) = logic.judge(
            [*runs, named], FITTING, None, LIMITS, MILL.admission, vouched={"19"}
        )
        assert (found.check, found.refuses) == ("scaled_copy", refuses)


def test_a_copy_of_a_known_recording_that_the_data_lacks_is_found(
    runs: list[RunFacts], recorded: pd.DataFrame
) -> None:
    eight = next(run for run in runs if run.run_id == "08")
    rows = recorded[recorded[schema.RUN_ID] == "08"]
    copy = facts(scaled(4)(rows, np.random.default_rng(1)), eight, "19")
    others = [run for run in runs if run is not eight]
    limits = LIMITS.model_copy(update={"vouch_for_new_runs": False})
    told = logic.judge([*others, copy], FITTING, runs, limits, MILL.admission)
    assert [(item.check, item.run) for item in told] == [("scaled_copy", "19")]
    again = [RunFacts.from_json(run.as_json()) for run in runs]
    assert again == runs
    # Under its own number and label it is another campaign's recording, which has its own check.
    own = dataclasses.replace(copy, run_id="08", label=eight.label)
    told = logic.judge([*others, own], FITTING, runs, limits, MILL.admission)
    assert [item.check for item in told] == ["recording_changed"]
