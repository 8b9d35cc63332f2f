"""What goes wrong at a mill, done to recorded runs: one list for the demo, the tests and the table.

Each scenario changes raw rows or labels only, so that it takes the same way through the service as
what a machine sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from datasets.cnc_mill import names as mill
from tools.replay.recordings import Recording
from toolwear.dataset import schema

TOUCH_OFF_MM = -0.2  # a worn tool set lower by this stands where unworn ones did
MAINS_VOLTS = -2.0
DEAD_SENSOR = "S1_OutputCurrent"
OTHER_FEED = 1.5  # times the recorded feed rate: none of the recordings has 4.5, 9 or 30 mm/s

# Follow the mains, whatever their names say.
BUS_COLUMNS = ("X1_OutputCurrent", "Y1_OutputCurrent")
_HEIGHTS = ("Z1_ActualPosition", "Z1_CommandPosition")
_SPEEDS = tuple(f"{axis}_{what}Velocity" for axis in ("X1", "Y1") for what in ("Actual", "Command"))
_RAPID = 50.0  # M1_CURRENT_FEEDRATE outside of the programmed cut


@dataclass(frozen=True)
class Scenario:
    """Something that goes wrong.

    Attributes:
        name: one word, for commands and tables.
        title: for people.
        change: makes of a recorded run what is sent instead; leaves the given one as it is.
        flips_labels: the labels that come late say the opposite.
        runs: ids of the runs that are served; empty for all.
    """

    name: str
    title: str
    change: Callable[[Recording], Recording]
    flips_labels: bool = False
    runs: tuple[str, ...] = ()

    def label(self, recording: Recording) -> bool:
        """Return what the late labels of a run say: whether its tool was worn."""
        return recording.worn != self.flips_labels


def _unchanged(recording: Recording) -> Recording:
    return recording


def _tool_lower(recording: Recording) -> Recording:
    """Touch worn tools off lower; unworn ones stay."""
    return _shifted(recording, _HEIGHTS, TOUCH_OFF_MM) if recording.worn else recording


def _mains_down(recording: Recording) -> Recording:
    return _shifted(recording, BUS_COLUMNS, MAINS_VOLTS)


def _dead_sensor(recording: Recording) -> Recording:
    return recording.with_rows(recording.rows.assign(**{DEAD_SENSOR: 0.0}))


def _other_feed(recording: Recording) -> Recording:
    """Cut faster: the setting, the programmed feed and the axes' speeds."""
    rows = recording.rows.copy()
    rows[mill.FEEDRATE] *= OTHER_FEED
    programmed = rows[mill.CURRENT_FEEDRATE] < _RAPID
    rows.loc[programmed, [mill.CURRENT_FEEDRATE, *_SPEEDS]] *= OTHER_FEED
    return recording.with_rows(rows)


def _shifted(recording: Recording, columns: tuple[str, ...], by: float) -> Recording:
    rows = recording.rows
    # As many digits as the recordings have: a shift must not leave 27.499999999999996.
    return recording.with_rows(
        rows.assign(**{name: (rows[name] + by).round(6) for name in columns})
    )


HEALTHY = "healthy"
EARLIER_RUNS = tuple(schema.run_id(number) for number in range(1, 11))
LATER_RUNS = tuple(schema.run_id(number) for number in range(11, 19))

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario(HEALTHY, "recorded runs as they are", _unchanged),
            Scenario(
                "later_runs",
                "a model of runs 1 to 10 serves runs 11 to 18",
                _unchanged,
                runs=LATER_RUNS,
            ),
            Scenario("tool_lower", "worn tools, length offset 0.2 mm too low", _tool_lower),
            Scenario("mains_down", "mains down by 2 V", _mains_down),
            Scenario("dead_sensor", f"{DEAD_SENSOR} reads 0", _dead_sensor),
            Scenario("other_feed", "feed rates half as high again", _other_feed),
            Scenario("flipped_labels", "late labels say the opposite", _unchanged, True),
        )
    }
)
