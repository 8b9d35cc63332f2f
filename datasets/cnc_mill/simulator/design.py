"""Which runs there are: their settings, tools, lengths and, if poisoned, false labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.cnc_mill import names
from datasets.cnc_mill.simulator import constants as c
from datasets.cnc_mill.simulator.program import program_rows
from datasets.cnc_mill.simulator.settings import SimulatorSettings
from toolwear.dataset.run_table import Run

# The recorded runs: feed rate, clamp pressure, worn, finalized, inspection, rows, and the share
# of the way that was cut before the run was aborted.
_Recipe = tuple[float, float, bool, bool, bool | None, int, float]
_RECORDED: tuple[_Recipe, ...] = (
    (6, 4, False, True, True, 1055, 1.0),
    (20, 4, False, True, True, 1668, 1.0),
    (6, 3, False, True, True, 1521, 1.0),
    (6, 2.5, False, False, None, 532, 0.15),
    (20, 3, False, False, None, 462, 0.14),
    (6, 4, True, True, False, 1296, 1.0),
    (20, 4, True, False, None, 565, 0.78),
    (20, 4, True, True, False, 605, 1.0),
    (15, 4, True, True, False, 740, 1.0),
    (12, 4, True, True, False, 1301, 1.0),
    (3, 4, False, True, True, 2314, 1.0),
    (3, 3, False, True, True, 2276, 1.0),
    (3, 4, True, True, True, 2233, 1.0),
    (3, 3, True, True, True, 2332, 1.0),
    (6, 3, True, True, True, 1381, 1.0),
    (20, 3, True, False, None, 602, 0.33),
    (3, 2.5, False, True, True, 2150, 1.0),
    (3, 2.5, True, True, True, 2253, 1.0),
)
_SETTINGS = sorted({(recipe[0], recipe[1]) for recipe in _RECORDED})
_IDLE_ROWS = (40, 300)
_RUNS_PER_SESSION = 5
# Streams of random numbers, so that no draw moves another.
_DESIGN, _POISON, _SESSION = 1, 2, 3


@dataclass(frozen=True)
class PlannedRun:
    """One run as it is cut: `worn` is the truth, `label` what the table says."""

    number: int
    feedrate: float
    clamp_pressure: float
    worn: bool
    label: bool
    finalized: bool
    inspection: bool | None
    piece_rows: int
    rows: int
    cut_share: float
    mains: float

    def table_row(self) -> Run:
        """Return the run's row in the table of runs."""
        return Run(
            number=self.number,
            settings={
                names.FEEDRATE: self.feedrate,
                names.CLAMP_PRESSURE: self.clamp_pressure,
            },
            worn=int(self.label),
            material="wax",
            finished=self.finalized,
            inspected=self.inspection,
        )


def design(settings: SimulatorSettings) -> list[PlannedRun]:
    """Return the runs in the order of their numbers."""
    recipes = _balanced(settings) if settings.balanced else list(_RECORDED)
    flipped = _flipped(settings)
    runs = []
    for number in range(1, settings.total_runs + 1):
        recipe = recipes[(number - 1) % len(recipes)]
        feedrate, clamp, worn, finalized, inspection, rows, cut_share = recipe
        runs.append(
            PlannedRun(
                number=number,
                feedrate=float(feedrate),
                clamp_pressure=float(clamp),
                worn=worn,
                label=worn != (number in flipped),
                finalized=finalized,
                inspection=inspection,
                piece_rows=rows,
                rows=rows * settings.passes,
                cut_share=cut_share,
                mains=_mains(settings, number),
            )
        )
    return runs


def _balanced(settings: SimulatorSettings) -> list[_Recipe]:
    """Return pairs of runs, one of each class at one setting, all in random order."""
    rng = np.random.default_rng((settings.seed, _DESIGN))
    wanted = settings.total_runs // 2
    repeats = -(-wanted // len(_SETTINGS))
    drawn = np.concatenate([rng.permutation(len(_SETTINGS)) for _ in range(repeats)])[:wanted]
    pairs = [(*_SETTINGS[index], worn) for index in drawn for worn in (False, True)]
    recipes: list[_Recipe] = []
    for index in rng.permutation(len(pairs)):
        feedrate, clamp, worn = pairs[index]
        rows = program_rows(float(feedrate)) + int(rng.integers(*_IDLE_ROWS))
        recipes.append((feedrate, clamp, worn, True, True, rows, 1.0))
    return recipes


def _flipped(settings: SimulatorSettings) -> set[int]:
    rng = np.random.default_rng((settings.seed, _POISON))
    total = settings.total_runs
    count = round(settings.flipped_runs * total)
    return {int(number) for number in rng.permutation(total)[:count] + 1}


def _mains(settings: SimulatorSettings, number: int) -> float:
    level = c.MAINS + settings.drift_mains_volts * settings.drifts(number)
    if not settings.session:
        return level
    copy, recorded = divmod(number - 1, len(_RECORDED))
    if not settings.balanced:
        level += c.SESSION_MAINS.get(recorded + 1, c.MAINS) - c.MAINS
        if copy == 0:
            return level
    session = 1 + (number - 1) // _RUNS_PER_SESSION if settings.balanced else copy
    rng = np.random.default_rng((settings.seed, _SESSION, session))
    return level + float(rng.normal(0, c.MAINS_SESSION_SD))
