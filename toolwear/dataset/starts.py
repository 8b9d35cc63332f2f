"""Whether a file holds more than one recording: what can only grow within one starts again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toolwear.dataset.names import plain

# Plain names of columns that divide recordings, and of clocks.
ID_WORDS = frozenset(
    {
        *("id", "no", "number", "run", "runid", "runno", "runnumber", "recording", "recordingid"),
        *("experiment", "experimentid", "file", "filename", "tool", "toolid", "toolno", "cut"),
        *("cutid", "cutno", "part", "partid", "workpiece", "case", "trial", "session"),
    }
)
TIME_WORDS = frozenset(
    {
        *("time", "timestamp", "times", "timesec", "timeseconds", "timems", "t", "datetime"),
        *("seconds", "elapsed", "elapsedtime", "zeit", "clock"),
    }
)
_MOST_IDS = 1000  # more is a number of the row, not of a recording
_SHOWN = 5


@dataclass
class Starts:
    """Looks for the beginning of another recording, batch by batch.

    Args:
        phases: those that never go back within a recording, in their order.
    """

    phases: Sequence[str] = ()
    _furthest: str = ""
    _rows: int = 0
    _sign: str = ""
    _ids: dict[str, dict[str, None]] = field(default_factory=dict)
    _clocks: dict[str, tuple[float, float]] = field(default_factory=dict)

    def look(self, phases: pa.Array, others: Mapping[str, pa.Array]) -> None:
        """Look at the next rows: their phases, and further columns as text."""
        if self.phases and not self._sign:
            self._phases(phases)
        for name, column in others.items():
            if plain(name) in ID_WORDS:
                known = self._ids.setdefault(name, {})
                if len(known) <= _MOST_IDS:
                    known.update(dict.fromkeys(column.unique().to_pylist()))
            elif not self._sign:
                self._clock(name, column)
        self._rows += len(phases)

    @property
    def sign(self) -> str:
        """What says that there is more than one recording, as a clause; empty if nothing does."""
        for name, values in self._ids.items():
            known = [value for value in values if value]
            # An id for every other row numbers rows rather than recordings.
            if 1 < len(known) <= min(_MOST_IDS, self._rows // 2):
                shown = ", ".join(known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
                return f"its column '{name}' has {len(known)} values ({shown})"
        return self._sign

    @property
    def id_column(self) -> str:
        """The column that may tell recordings apart; empty if there is none."""
        return next((name for name, values in self._ids.items() if len(values) > 1), "")

    def _phases(self, column: pa.Array) -> None:
        # A phase lasts for many rows: one look at each stretch is enough.
        stretches = pc.run_end_encode(column)
        phases = stretches.values.to_pylist()
        at = phase_restart(phases, self.phases, self._furthest)
        if at is not None:
            stretch, before, after = at
            row = stretches.run_ends[stretch - 1].as_py() if stretch else 0
            self._sign = (
                f"its phases start again at row {self._rows + row + 1} ({after} after {before})"
            )
            return
        rank = {phase: number for number, phase in enumerate(self.phases)}
        known = [phase for phase in dict.fromkeys(phases) if phase in rank]
        self._furthest = max((self._furthest, *known), key=lambda phase: rank.get(phase, -1))

    def _clock(self, name: str, column: pa.Array) -> None:
        try:
            values = pc.cast(pc.utf8_trim_whitespace(column), pa.float64()).to_numpy(
                zero_copy_only=False
            )
        except pa.ArrowInvalid:
            return  # a date in words; its phases tell
        values = values[np.isfinite(values)]
        if not len(values):
            return
        first, most = self._clocks.get(name, (values[0], values[0]))
        # Rows stored out of order step back, too, but not to where the recording began.
        reached = np.maximum.accumulate(np.concatenate([[most], values]))[:-1]
        back = np.flatnonzero((values <= first) & (reached > first))
        if len(back):
            self._sign = f"its column '{name}' starts again at row {self._rows + int(back[0]) + 1}"
        self._clocks[name] = (first, max(most, float(values.max())))


def phase_restart(
    phases: Iterable[str | None], order: Sequence[str], furthest: str = ""
) -> tuple[int, str, str] | None:
    """Return where phases go back: the row from 0, the phase before and the phase there.

    Args:
        phases: in stored order; those that are not in `order` say nothing.
        order: phases in the order of a recording.
        furthest: the furthest phase before.
    """
    ranks = {phase: number for number, phase in enumerate(order)}
    rank = ranks.get(furthest, -1)
    for row, phase in enumerate(phases):
        new = ranks.get(phase or "", -1)
        if new < 0:
            continue
        if new < rank:
            return row, furthest, phase or ""
        rank, furthest = new, phase or ""
    return None
