"""Which runs are cut: the real design, its repetitions, or a balanced one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.core import schema
from components.ingest.simulator.settings import SimulatorSettings

# feed mm/s, clamp bar, worn, finalized, passed inspection: the table of the real runs.
_REAL = (
    (6, 4, 0, True, True),
    (20, 4, 0, True, True),
    (6, 3, 0, True, True),
    (6, 2.5, 0, False, None),
    (20, 3, 0, False, None),
    (6, 4, 1, True, False),
    (20, 4, 1, False, None),
    (20, 4, 1, True, False),
    (15, 4, 1, True, False),
    (12, 4, 1, True, False),
    (3, 4, 0, True, True),
    (3, 3, 0, True, True),
    (3, 4, 1, True, True),
    (3, 3, 1, True, True),
    (6, 3, 1, True, True),
    (20, 3, 1, False, None),
    (3, 2.5, 0, True, True),
    (3, 2.5, 1, True, True),
)
# Rows of the run that stand at home with a stopped spindle, so that lengths come out as recorded.
_IDLE_ROWS = (
    60,
    1250,
    520,
    330,
    400,
    300,
    460,
    250,
    300,
    760,
    330,
    300,
    250,
    350,
    390,
    500,
    200,
    300,
)
# Level of the mains as the drives see it, by session of the real recordings, V.
_COMMON_MAINS = 325.9
_SESSION_MAINS = (*(325.9,) * 4, 323.3, *(324.2,) * 5, *(326.9,) * 5, 326.1, 326.9, 326.9)


@dataclass(frozen=True)
class Run:
    """One simulated run: how it is cut, and what is recorded of it."""

    number: int
    feed: float
    clamp: float
    worn: bool
    labelled_worn: bool
    finalized: bool
    inspection: bool | None
    idle_rows: int
    mains: float

    @property
    def condition(self) -> str:
        """The tool's condition as the table of runs states it."""
        return schema.CLASSES[int(self.labelled_worn)]


def runs(settings: SimulatorSettings) -> list[Run]:
    """Return the runs in the order of their numbers."""
    rng = np.random.default_rng([settings.seed, 1])
    rows = []
    for _ in range(settings.copies):
        order = list(range(len(_REAL)))
        if settings.balanced:
            pairs = [(f, c, w, True, True) for f, c in _settings() for w in (0, 1)]
            order = list(rng.permutation(len(pairs)))
            rows += [(pairs[i], int(rng.integers(100, 400)), _COMMON_MAINS) for i in order]
        else:
            rows += [(_REAL[i], _IDLE_ROWS[i], _SESSION_MAINS[i]) for i in order]
    flipped = rng.permutation(len(rows))[: round(settings.flipped_runs * len(rows))]
    return [
        Run(
            number=number,
            feed=float(row[0]),
            clamp=float(row[1]),
            worn=bool(row[2]),
            labelled_worn=bool(row[2]) != (number - 1 in flipped),
            finalized=row[3],
            inspection=row[4],
            idle_rows=idle,
            mains=mains if settings.session else _COMMON_MAINS,
        )
        for number, (row, idle, mains) in enumerate(rows, 1)
    ]


def _settings() -> list[tuple[float, float]]:
    return sorted({(row[0], row[1]) for row in _REAL})
