"""The physical range of every signal with its unit, the known sensor faults, the layers' depths.

The ranges hold the recorded data (18 runs, 25,286 rows) with margin. Positions: the axes home at
(198, 158, 119) mm, which is taken as the upper end of travel, and 0 as the lower one, plus about
10 %. Dynamic signals: roughly 1.5 times the largest recorded magnitude, a little below zero
where a quantity cannot be negative but its offset can. They are meant to catch broken units,
overflows and infinities; they are no operating limits and no test for drift. Units are those of
the data set's page, but for the spindle's motion, whose numbers only fit revolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolwear.dataset import schema


@dataclass(frozen=True)
class Signal:
    """What a signal is measured in and the closed range it can physically take."""

    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class Fault:
    """A reading that the data set's page names as a sensor fault; it is counted, never filtered."""

    column: str
    value: float
    claim: str
    reading: str


_POSITION = {
    "X1": Signal("mm", 0, 220),
    "Y1": Signal("mm", 0, 180),
    "Z1": Signal("mm", 0, 140),
    "S1": Signal("rev", -2200, 2200),  # a counter that wraps near +-2147
}
_AXIS = {
    "ActualVelocity": Signal("mm/s", -75, 75),
    "ActualAcceleration": Signal("mm/s²", -2500, 2500),
    "CommandVelocity": Signal("mm/s", -60, 60),
    "CommandAcceleration": Signal("mm/s²", -1100, 1100),
    "CurrentFeedback": Signal("A", -50, 50),
    "DCBusVoltage": Signal("V", -0.2, 1),
    "OutputCurrent": Signal("A", 0, 450),
    "OutputVoltage": Signal("V", -15, 150),
    "OutputPower": Signal("kW", -0.05, 0.1),
}
_SPINDLE = {
    "ActualVelocity": Signal("rev/s", -5, 80),
    "ActualAcceleration": Signal("rev/s²", -300, 300),
    "CommandVelocity": Signal("rev/s", -1, 80),
    "CommandAcceleration": Signal("rev/s²", -150, 150),
    "CurrentFeedback": Signal("A", -30, 120),
    "DCBusVoltage": Signal("V", -0.5, 5),
    "OutputCurrent": Signal("A", 0, 450),
    "OutputVoltage": Signal("V", -15, 250),
    "OutputPower": Signal("kW", -0.05, 1),
    "SystemInertia": Signal("kg·m²", 0, 50),
}
_MACHINE = {
    schema.PROGRAM_NUMBER: Signal("program", 0, 9999),
    schema.SEQUENCE_NUMBER: Signal("line", 0, 9999),
    schema.CURRENT_FEEDRATE: Signal("mm/s", 0, 60),
}


def _signal(column: str) -> Signal:
    if column in _MACHINE:
        return _MACHINE[column]
    axis, quantity = column.split("_")
    if quantity in ("ActualPosition", "CommandPosition"):
        return _POSITION[axis]
    return (_SPINDLE if axis == "S1" else _AXIS)[quantity]


SIGNALS = {column: _signal(column) for column in schema.NUMERIC_COLUMNS}

X_POSITION, Z_POSITION = "X1_ActualPosition", "Z1_ActualPosition"

FAULTS = (
    Fault(
        schema.CURRENT_FEEDRATE,
        50,
        "The feedrate is not 50 mm/s, a known sensor fault or a rapid move,",
        "The feedrate reads 50 mm/s, a known sensor fault or a rapid move,",
    ),
    Fault(
        X_POSITION,
        198,
        "The X position is not 198 mm, a known sensor fault or the axis at home,",
        "The X position reads 198 mm, a known sensor fault or the axis at home,",
    ),
)
# The data set's page calls any other program number a fault, but nearly all rows have program 1:
# taken as a filter it would leave next to nothing, so it is told as information.
NORMAL_PROGRAM = 0

# Z position at which the tool cuts a layer, mm: 29.5 with one tool, 29.7 with the other, and one
# millimetre deeper a layer.
LAYER_DEPTHS = {1: 29.6, 2: 28.6, 3: 27.6}
DEPTH_TOLERANCE = 0.25

SIGNIFICANT_DIGITS = 3  # of the recorded data: X is known to 1 mm, Z to 0.1 mm

# The settings of a run.
SETTINGS = {
    schema.FEEDRATE: Signal("mm/s", 1, 60),
    schema.CLAMP_PRESSURE: Signal("bar", 0.5, 10),
}
