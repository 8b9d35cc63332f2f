"""The features: their names, what they are made of, and why. Training, serving and Feast read this.

A set is a promise about leakage, so each says in one sentence what it is for. Levels of spindle
signals drift as the spindle warms up, and bus levels follow the mains; therefore the sets beside
the published one keep to variability within a short window.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from toolwear.dataset import schema
from toolwear.features.names import LEVELS_VIEW, VARIABILITY_VIEW

AXES = ("X1", "Y1", "Z1")
AXIS_POSITION = tuple(f"{axis}_ActualPosition" for axis in AXES)  # mm
AXIS_VELOCITY = tuple(f"{axis}_ActualVelocity" for axis in AXES)  # mm/s
SPINDLE_POSITION = "S1_ActualPosition"  # revolutions
SPINDLE_VELOCITY = "S1_ActualVelocity"  # revolutions/s

STD = "std"  # sample standard deviation over the window, in the signal's unit
MAD = "mad"  # mean absolute difference of rows recorded one after the other
ALIAS = "alias"  # amplitude of the once-per-revolution vibration as the sampling folds it
# 53.33 revolutions/s sampled at 10 Hz are 16 revolutions in 3 rows: period 3.
ALIAS_PERIOD = 3

# Derived signals: actual minus command.
VELOCITY_ERRORS = MappingProxyType(
    {
        f"{axis}_VelocityError": (f"{axis}_ActualVelocity", f"{axis}_CommandVelocity")
        for axis in ("X1", "Y1")
    }
)


@dataclass(frozen=True)
class SignalGroup:
    """Signals of one physical kind, the statistics that are taken of them, and why."""

    signals: tuple[str, ...]
    statistics: tuple[str, ...]
    why: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(window_column(signal, s) for signal in self.signals for s in self.statistics)


def window_column(signal: str, statistic: str) -> str:
    """Return the name of a window feature, such as ``"S1_OutputPower_std"``."""
    return f"{signal}_{statistic}"


SIGNAL_GROUPS = (
    SignalGroup(
        ("S1_ActualAcceleration",),
        (STD, MAD, ALIAS),
        "A worn edge loads the spindle unevenly within a revolution, and the speed ripples.",
    ),
    SignalGroup(
        (SPINDLE_VELOCITY,),
        (STD, MAD),
        "The same ripple as the drive's encoder sees it.",
    ),
    SignalGroup(
        ("S1_OutputPower",),
        (STD, MAD, ALIAS),
        "How unsteady the cutting load is; its level drifts with warm-up and is left out.",
    ),
    SignalGroup(
        ("S1_CurrentFeedback", "S1_OutputVoltage", "S1_DCBusVoltage"),
        (STD, MAD),
        "The drive's answer to that load; S1_DCBusVoltage follows the power, not the mains.",
    ),
    SignalGroup(
        tuple(VELOCITY_ERRORS),
        (STD, MAD),
        "How well the axes follow their command against the cutting force; grows with the feed.",
    ),
    SignalGroup(
        ("X1_ActualAcceleration", "Y1_ActualAcceleration"),
        (STD, MAD),
        "Vibration of the table along the axes; grows with the feed.",
    ),
    SignalGroup(
        ("X1_CurrentFeedback", "Y1_CurrentFeedback"),
        (STD, MAD),
        "Unsteadiness of the axis forces; levels follow direction and speed and are left out.",
    ),
)
WINDOW_COLUMNS = tuple(column for group in SIGNAL_GROUPS for column in group.columns)

PUBLISHED_COLUMNS = (
    "Z1_ActualPosition",
    "X1_OutputCurrent",
    schema.SEQUENCE_NUMBER,
    SPINDLE_POSITION,
    "Y1_OutputCurrent",
    "S1_OutputCurrent",
    schema.CURRENT_FEEDRATE,
    "X1_DCBusVoltage",
    "X1_OutputVoltage",
    schema.CLAMP_PRESSURE,
    "Y1_DCBusVoltage",
    "Y1_OutputVoltage",
)

# Columns of the published set that tell which session or set-up a row is from rather than how hard
# the machine works: tool length, place in the program, and what follows the mains and the spindle's
# warm-up. They differ between any two healthy runs.
SESSION_COLUMNS = (
    "Z1_ActualPosition",
    "X1_OutputCurrent",
    schema.SEQUENCE_NUMBER,
    SPINDLE_POSITION,
    "Y1_OutputCurrent",
    "S1_OutputCurrent",
)
# Set by a person; they name the regime in which rows are compared.
SETTING_FEATURES = (schema.CURRENT_FEEDRATE, schema.CLAMP_PRESSURE)


def load_columns(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the features that tell how hard the machine works."""
    return tuple(c for c in columns if c not in SESSION_COLUMNS and c not in SETTING_FEATURES)


@dataclass(frozen=True)
class FeatureSet:
    """Columns that a model may be given, the rows that it is judged on, and what it is for."""

    columns: tuple[str, ...]
    samples_column: str  # boolean key column that is true on this set's samples
    why: str

    @property
    def view(self) -> str:
        """Name of the Feast view that its columns are served from."""
        return next(name for name, held in VIEWS.items() if set(self.columns) <= set(held))


PUBLISHED_WITHOUT_POSITION, RIPPLE = "published_without_position", "ripple"
FEATURE_SETS = MappingProxyType(
    {
        schema.PUBLISHED: FeatureSet(
            PUBLISHED_COLUMNS,
            schema.IS_ACTIVE,
            "Twelve columns of single rows, with levels among them that may identify the run.",
        ),
        PUBLISHED_WITHOUT_POSITION: FeatureSet(
            tuple(column for column in PUBLISHED_COLUMNS if column != "Z1_ActualPosition"),
            schema.IS_ACTIVE,
            "The same without the Z position: what is left shows how much of the accuracy that "
            "column carries.",
        ),
        schema.RESPONSE: FeatureSet(
            WINDOW_COLUMNS,
            schema.IS_WINDOW,
            "What the machine does under load, without what identifies the setup or the session: "
            "for judging runs that the model has not seen.",
        ),
        RIPPLE: FeatureSet(
            (*SIGNAL_GROUPS[0].columns, *SIGNAL_GROUPS[1].columns),
            schema.IS_WINDOW,
            "Spindle-speed ripple alone: the one physically plausible sign of wear, few enough "
            "columns that few runs can speak to it.",
        ),
    }
)

VIEWS = MappingProxyType({LEVELS_VIEW: PUBLISHED_COLUMNS, VARIABILITY_VIEW: WINDOW_COLUMNS})
FEATURE_COLUMNS = tuple(column for columns in VIEWS.values() for column in columns)

# Telemetry columns that the features are computed from, beside those of the limits of cutting.
RAW_SIGNALS = tuple(
    dict.fromkeys(
        (
            *(column for column in PUBLISHED_COLUMNS if column != schema.CLAMP_PRESSURE),
            *(column for pair in VELOCITY_ERRORS.values() for column in pair),
            *(
                signal
                for group in SIGNAL_GROUPS
                for signal in group.signals
                if signal not in VELOCITY_ERRORS
            ),
        )
    )
)
# What `compute.compute` must be given.
INPUT_COLUMNS = (*RAW_SIGNALS, schema.CLAMP_PRESSURE)
