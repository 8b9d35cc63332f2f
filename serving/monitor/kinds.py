"""What the monitor watches for, and the words of its results."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What may drift."""

    DATA = "data"  # what the machine does under load
    PREDICTION = "prediction"  # how sure the model is
    CONCEPT = "concept"  # whether it is right, by labels that came late
    QUALITY = "quality"  # sensors
    ABSTENTION = "abstention"  # how often it is "not sure"
    ATTRIBUTION = "attribution"  # feature attributions
    SESSION = "session"  # tool length, mains, place in the program


# What a sensor that fails looks like as well.
IMITATED = (Kind.DATA, Kind.PREDICTION, Kind.ATTRIBUTION, Kind.SESSION)


class Result(StrEnum):
    """What a window says of a kind."""

    OK = "ok"
    WARNING = "warning"
    ALARM = "alarm"
    UNCALIBRATED = "uncalibrated"  # one training run cannot tell how far runs differ
    NO_REFERENCE = "no_reference"


JUDGING = (Result.OK, Result.WARNING, Result.ALARM)  # the others count for nothing
